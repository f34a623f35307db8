"""What a clinic offers, and who works there."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro.type.v1.money_pb2 import Money
from services.catalog.tests.people import Catalog, broken_fields, mask, reason, service_form, staff_form


async def test_a_service_is_offered_with_the_usual_answers(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic, duration_minutes=0)
    assert (service.duration_minutes, service.is_available, service.requires_approval) == (30, True, False)
    assert service.price == Money(amount="150000.00", currency_code="IDR")
    assert (await catalog.api.GetService(pb.GetServiceRequest(service_id=service.id))).service == service


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "service.name"),
    ({"name": "\u202egnimoorG"}, "service.name"),
    ({"duration_minutes": 1441}, "service.duration_minutes"),
    ({"duration_minutes": -5}, "service.duration_minutes"),
    ({"price": None}, "service.price.amount"),
    ({"price": Money(amount="-1.00", currency_code="IDR")}, "service.price.amount"),
    ({"price": Money(amount="1.005", currency_code="IDR")}, "service.price.amount"),
    ({"price": Money(amount="10000000000.00", currency_code="IDR")}, "service.price.amount"),
    ({"price": Money(amount="1", currency_code="Rp")}, "service.price.currency_code"),
    ({"price": Money(amount="100.50", currency_code="JPY")}, "service.price.amount"),
    *(
        ({"price": Money(amount="1", currency_code=code)}, "service.price.currency_code")
        for code in ("ZZZ", "XXX", "XTS", "XAU", "KWD", "TND", "UYI", "DEM")
    ),
]


async def test_a_service_that_breaks_a_rule_is_refused_and_the_field_is_named(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for fields, field in BROKEN:
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.offered(clinic, **fields)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, fields
        assert broken_fields(refused.value) == {field}, fields


async def test_a_price_may_be_anything_from_nothing_to_the_column(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for amount, kept in (("0", "0.00"), ("0.01", "0.01"), ("9999999999.99", "9999999999.99")):
        service = await catalog.offered(clinic, price=Money(amount=amount, currency_code="IDR"))
        assert service.price.amount == kept
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.offered(clinic, price=Money(amount="10000000000", currency_code="IDR"))
    assert broken_fields(refused.value) == {"service.price.amount"}


async def test_others_learn_of_a_service_and_of_each_edit(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    edit = pb.Service(price=Money(amount="175000", currency_code="IDR"), requires_approval=True)
    request = pb.UpdateServiceRequest(service_id=service.id, service=edit)

    edited = (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service
    again = (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service

    assert (edited.version, again.version, edited.name) == (2, 2, service.name)
    first, second = await catalog.events("service.changed")
    assert first["version"] == 1
    assert second == {
        "event_type": "service.changed",
        "service_id": service.id,
        "clinic_id": clinic.id,
        "name": "Vaksinasi kucing",
        "price": "175000.00",
        "currency": "IDR",
        "duration_minutes": 30,
        "requires_approval": True,
        "is_available": True,
        "cancellation_policy": None,
        "availability_exceptions": [],
        "version": 2,
    }


async def test_a_boolean_can_be_turned_off_without_a_mask(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic, requires_approval=True)
    request = pb.UpdateServiceRequest(
        service_id=service.id, service=pb.Service(requires_approval=False, is_available=False)
    )
    edited = (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service
    assert (edited.requires_approval, edited.is_available) == (False, False)


async def test_services_come_by_name_and_those_that_are_off_only_to_insiders(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for name, is_available in (("Sterilisasi", True), ("Grooming", True), ("Rontgen", False), ("Grooming", True)):
        await catalog.offered(clinic, name=name, is_available=is_available)
    request = pb.ListServicesRequest(clinic_id=clinic.id)

    async def listed(headers: tuple[tuple[str, str], ...]) -> list[str]:
        return [service.name for service in (await catalog.api.ListServices(request, metadata=headers)).services]

    assert await listed(()) == ["Grooming", "Grooming", "Sterilisasi"]
    assert await listed(catalog.dewi.headers) == ["Grooming", "Grooming", "Sterilisasi"]
    for headers in (catalog.wayan.headers, catalog.admin.headers, catalog.booking_service):
        assert await listed(headers) == ["Grooming", "Grooming", "Rontgen", "Sterilisasi"]


async def test_pages_of_services_and_staff_hold_each_once(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    services = {(await catalog.offered(clinic, name="Grooming")).id for _ in range(5)}
    staff = {(await catalog.employed(clinic, name="Putu")).id for _ in range(5)}
    seen_services, seen_staff, services_token, staff_token = [], [], "", ""
    for _ in range(3):
        page = await catalog.api.ListServices(
            pb.ListServicesRequest(clinic_id=clinic.id, page_size=2, page_token=services_token)
        )
        people = await catalog.api.ListStaff(
            pb.ListStaffRequest(clinic_id=clinic.id, page_size=2, page_token=staff_token)
        )
        seen_services += [service.id for service in page.services]
        seen_staff += [member.id for member in people.staff]
        services_token, staff_token = page.next_page_token, people.next_page_token
    assert (services_token, staff_token) == ("", "")
    assert (len(seen_services), set(seen_services)) == (5, services)
    assert (len(seen_staff), set(seen_staff)) == (5, staff)


async def test_a_page_token_of_the_services_is_none_of_the_staff(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for _ in range(2):
        await catalog.offered(clinic)
        await catalog.employed(clinic)
    asked: dict[str, Any] = {"clinic_id": clinic.id, "page_size": 1}
    of_services = (await catalog.api.ListServices(pb.ListServicesRequest(**asked))).next_page_token
    of_staff = (await catalog.api.ListStaff(pb.ListStaffRequest(**asked))).next_page_token
    wrong: list[tuple[Any, Any]] = [
        (catalog.api.ListServices, pb.ListServicesRequest(**asked, page_token=of_staff)),
        (catalog.api.ListStaff, pb.ListStaffRequest(**asked, page_token=of_services)),
    ]
    for listed, request in wrong:
        with pytest.raises(aio.AioRpcError) as refused:
            await listed(request)
        assert reason(refused.value) == "BAD_PAGE_TOKEN"


async def test_what_a_hidden_clinic_offers_is_hidden_too(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    service = await catalog.offered(clinic)
    with pytest.raises(aio.AioRpcError) as not_found:
        await catalog.api.GetService(pb.GetServiceRequest(service_id=service.id))
    assert reason(not_found.value) == "SERVICE_NOT_FOUND"
    hidden_lists: list[tuple[Any, Any]] = [
        (catalog.api.ListServices, pb.ListServicesRequest(clinic_id=clinic.id)),
        (catalog.api.ListStaff, pb.ListStaffRequest(clinic_id=clinic.id)),
        (catalog.api.ListReviews, pb.ListReviewsRequest(clinic_id=clinic.id)),
    ]
    for call, request in hidden_lists:
        with pytest.raises(aio.AioRpcError) as hidden:
            await call(request)
        assert reason(hidden.value) == "CLINIC_NOT_FOUND"
    known = await catalog.api.GetService(pb.GetServiceRequest(service_id=service.id), metadata=catalog.booking_service)
    assert known.service.id == service.id


async def test_only_the_owner_offers_and_employs(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service, member = await catalog.offered(clinic), await catalog.employed(clinic)
    requests: list[tuple[Any, Any]] = [
        (catalog.api.CreateService, pb.CreateServiceRequest(clinic_id=clinic.id, service=service_form())),
        (catalog.api.UpdateService, pb.UpdateServiceRequest(service_id=service.id, service=pb.Service(name="x"))),
        (catalog.api.CreateStaff, pb.CreateStaffRequest(clinic_id=clinic.id, staff=staff_form())),
        (catalog.api.UpdateStaff, pb.UpdateStaffRequest(staff_id=member.id, staff=pb.Staff(name="x"))),
    ]
    for call, request in requests:
        for headers in (catalog.sari.headers, catalog.dewi.headers, catalog.booking_service):
            with pytest.raises(aio.AioRpcError) as refused:
                await call(request, metadata=headers)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await call(request, metadata=catalog.admin.headers)


async def test_of_many_edits_of_one_member_at_once_none_is_lost(catalog: Catalog) -> None:
    member = await catalog.employed(await catalog.approved())
    edits = [
        pb.Staff(phone="+62 21 555 0124"),
        pb.Staff(specialization="Surgery"),
        pb.Staff(photo_url="https://menteng.example/made.png"),
        pb.Staff(role="head of the clinic"),
    ]
    requests = [pb.UpdateStaffRequest(staff_id=member.id, staff=edit) for edit in edits]
    await asyncio.gather(*(catalog.api.UpdateStaff(one, metadata=catalog.wayan.headers) for one in requests))
    asked = pb.GetStaffRequest(staff_id=member.id)
    now = (await catalog.api.GetStaff(asked, metadata=catalog.booking_service)).staff
    assert (now.phone, now.specialization) == (edits[0].phone, edits[1].specialization)
    assert (now.photo_url, now.role) == (edits[2].photo_url, edits[3].role)


async def test_edits_of_what_is_not_there_say_so(catalog: Catalog) -> None:
    nowhere = str(uuid4())
    requests: list[tuple[Any, Any, str]] = [
        (
            catalog.api.UpdateService,
            pb.UpdateServiceRequest(service_id=nowhere, service=pb.Service(name="x")),
            "SERVICE",
        ),
        (catalog.api.UpdateStaff, pb.UpdateStaffRequest(staff_id=nowhere, staff=pb.Staff(name="x")), "STAFF"),
        (catalog.api.CreateService, pb.CreateServiceRequest(clinic_id=nowhere, service=service_form()), "CLINIC"),
        (catalog.api.ApproveClinic, pb.ApproveClinicRequest(clinic_id=nowhere), "CLINIC"),
    ]
    for call, request, what in requests:
        with pytest.raises(aio.AioRpcError) as refused:
            await call(request, metadata=catalog.admin.headers)
        assert reason(refused.value) == f"{what}_NOT_FOUND"


async def test_addresses_of_staff_are_for_the_clinic_administrators_and_services(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    colleague = catalog.sari
    await catalog.employed(clinic, user_id=str(colleague.id))
    request = pb.ListStaffRequest(clinic_id=clinic.id)
    for headers in ((), catalog.dewi.headers):
        (shown,) = (await catalog.api.ListStaff(request, metadata=headers)).staff
        assert (shown.name, shown.email, shown.phone, shown.user_id) == ("drh. Putu Ayu", "", "", "")
    insiders = (catalog.wayan.headers, colleague.headers, catalog.admin.headers, catalog.booking_service)
    for headers in insiders:
        (shown,) = (await catalog.api.ListStaff(request, metadata=headers)).staff
        assert (shown.email, shown.phone) == ("putu@menteng.example", "+62 812 555 0199")
        assert shown.user_id == str(colleague.id)


async def test_one_member_of_staff_is_for_services_and_administrators(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    member = await catalog.employed(clinic)
    request = pb.GetStaffRequest(staff_id=member.id)
    for headers in (catalog.admin.headers, catalog.booking_service):
        assert (await catalog.api.GetStaff(request, metadata=headers)).staff == member
    for headers in (catalog.wayan.headers, catalog.sari.headers):
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.GetStaff(request, metadata=headers)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(aio.AioRpcError) as not_found:
        await catalog.api.GetStaff(pb.GetStaffRequest(staff_id=str(uuid4())), metadata=catalog.admin.headers)
    assert reason(not_found.value) == "STAFF_NOT_FOUND"


async def test_others_learn_of_staff_without_personal_data(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    hours = {"tuesday": pb.DayHours(open="10:00", close="16:00", is_open=True)}
    member = await catalog.employed(clinic, working_hours=hours)
    request = pb.UpdateStaffRequest(staff_id=member.id, staff=pb.Staff(), update_mask=mask("working_hours"))
    await catalog.api.UpdateStaff(request, metadata=catalog.wayan.headers)

    first, second = await catalog.events("staff.changed")
    assert first["working_hours"]["tuesday"] == {"open": "10:00", "close": "16:00", "is_open": True}
    assert not first["working_hours"]["monday"]["is_open"]
    assert second == {
        "event_type": "staff.changed",
        "staff_id": member.id,
        "clinic_id": clinic.id,
        "user_id": None,
        "role": "veterinarian",
        "working_hours": None,
        "version": 2,
    }


async def test_who_leaves_no_longer_acts_for_the_clinic(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    member = await catalog.employed(clinic, user_id=str(catalog.sari.id))
    request = pb.GetClinicRequest(clinic_id=clinic.id)
    await catalog.api.GetClinic(request, metadata=catalog.sari.headers)

    leave = pb.UpdateStaffRequest(staff_id=member.id, staff=pb.Staff(), update_mask=mask("user_id"))
    await catalog.api.UpdateStaff(leave, metadata=catalog.wayan.headers)

    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.GetClinic(request, metadata=catalog.sari.headers)
    assert reason(refused.value) == "CLINIC_NOT_FOUND"
