"""Clinics: from application to approval, and who may do what with them."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_common.testing import needed_fields
from services.catalog.tests.people import (
    Catalog,
    broken_fields,
    clinic_form,
    reason,
    service_form,
    staff_form,
    tier_policy,
)

WEEKDAYS = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}


async def test_an_application_gets_the_usual_hours_zone_commission_and_policy(catalog: Catalog) -> None:
    clinic = await catalog.applied()

    assert clinic.status == pb.CLINIC_STATUS_PENDING
    assert clinic.owner_id == str(catalog.wayan.id)
    assert clinic.timezone == "Asia/Jakarta"
    assert clinic.commission_rate == "10.00"
    assert set(clinic.operating_hours) == WEEKDAYS
    assert clinic.operating_hours["saturday"] == pb.DayHours(open="09:00", close="15:00", is_open=True)
    assert clinic.operating_hours["sunday"] == pb.DayHours()
    policy = [(tier.min_hours_before, tier.refund_percent) for tier in clinic.cancellation_policy.tiers]
    assert policy == [(24, 100), (6, 50)]
    assert (clinic.cancellation_policy.version, clinic.version) == (1, 1)


async def test_strangers_do_not_see_a_clinic_until_it_is_approved(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    request = pb.GetClinicRequest(clinic_id=clinic.id)
    for headers in ((), catalog.sari.headers, catalog.dewi.headers):
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.GetClinic(request, metadata=headers)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert reason(refused.value) == "CLINIC_NOT_FOUND"
    for headers in (catalog.wayan.headers, catalog.admin.headers, catalog.booking_service):
        assert (await catalog.api.GetClinic(request, metadata=headers)).clinic.id == clinic.id

    await catalog.api.ApproveClinic(pb.ApproveClinicRequest(clinic_id=clinic.id), metadata=catalog.admin.headers)

    assert (await catalog.api.GetClinic(request)).clinic.status == pb.CLINIC_STATUS_APPROVED


async def test_the_commission_is_shown_to_insiders_only(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    request = pb.GetClinicRequest(clinic_id=clinic.id)
    assert (await catalog.api.GetClinic(request)).clinic.commission_rate == ""
    assert (await catalog.api.GetClinic(request, metadata=catalog.sari.headers)).clinic.commission_rate == ""
    for headers in (catalog.wayan.headers, catalog.admin.headers, catalog.booking_service):
        assert (await catalog.api.GetClinic(request, metadata=headers)).clinic.commission_rate == "10.00"


async def test_only_people_with_a_clinic_account_apply(catalog: Catalog) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.applied(catalog.sari)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(aio.AioRpcError) as unknown:
        await catalog.api.CreateClinic(pb.CreateClinicRequest(clinic=clinic_form()))
    assert unknown.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_but_an_administrator_applies_for_somebody_else(catalog: Catalog) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.applied(catalog.wayan, owner_id=str(catalog.dewi.id))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    made = await catalog.applied(catalog.admin, owner_id=str(catalog.dewi.id))
    assert made.owner_id == str(catalog.dewi.id)


WAYS: list[tuple[list[str], bool]] = [
    (["Approve"], True),
    (["Reject"], True),
    (["Suspend"], False),
    (["Approve", "Suspend"], True),
    (["Approve", "Reject"], False),
    (["Approve", "Approve"], False),
    (["Approve", "Suspend", "Approve"], True),
    (["Approve", "Suspend", "Reject"], False),
    (["Reject", "Approve"], True),
    (["Reject", "Suspend"], False),
    (["Reject", "Reject"], False),
]


@pytest.mark.parametrize(("verbs", "is_allowed"), WAYS)
async def test_a_status_changes_only_along_the_drawing(catalog: Catalog, verbs: list[str], is_allowed: bool) -> None:
    clinic = await catalog.applied()

    async def take(verb: str) -> pb.Clinic:
        request = getattr(pb, f"{verb}ClinicRequest")(clinic_id=clinic.id)
        reply = await getattr(catalog.api, f"{verb}Clinic")(request, metadata=catalog.admin.headers)
        found: pb.Clinic = reply.clinic
        return found

    for verb in verbs[:-1]:
        await take(verb)
    if is_allowed:
        changed = await take(verbs[-1])
        assert changed.version == len(verbs) + 1
        announced = (await catalog.events("clinic.changed"))[-1]
        assert announced["status"] == pb.ClinicStatus.Name(changed.status).removeprefix("CLINIC_STATUS_").lower()
    else:
        with pytest.raises(aio.AioRpcError) as refused:
            await take(verbs[-1])
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason(refused.value) == "WRONG_CLINIC_STATUS"
        assert len(await catalog.events("clinic.changed")) == len(verbs)


@pytest.mark.parametrize(
    ("verbs", "is_fixed"),
    [
        ([], False),
        (["Reject"], False),
        (["Approve"], True),
        (["Reject", "Approve"], True),
        (["Approve", "Suspend"], True),
    ],
)
async def test_the_zone_in_which_slots_are_made_is_fixed_from_the_first_approval_on(
    catalog: Catalog, verbs: list[str], is_fixed: bool
) -> None:
    clinic = await catalog.applied()
    for verb in verbs:
        request = getattr(pb, f"{verb}ClinicRequest")(clinic_id=clinic.id)
        await getattr(catalog.api, f"{verb}Clinic")(request, metadata=catalog.admin.headers)
    for headers, zone in ((catalog.wayan.headers, "Asia/Makassar"), (catalog.admin.headers, "Asia/Jayapura")):
        edit = catalog.api.UpdateClinic(_edit(clinic.id, timezone=zone, description="We have moved"), metadata=headers)
        if not is_fixed:
            assert (await edit).clinic.timezone == zone
            continue
        with pytest.raises(aio.AioRpcError) as refused:
            await edit
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason(refused.value) == "CLINIC_TIMEZONE_FIXED"
    told = (await catalog.events("clinic.changed"))[-1]
    same = _edit(clinic.id, timezone=told["timezone"], description="We have painted")
    kept = (await catalog.api.UpdateClinic(same, metadata=catalog.wayan.headers)).clinic
    assert (kept.timezone, kept.description) == (told["timezone"], "We have painted")


def _edit(clinic_id: str, **fields: str) -> pb.UpdateClinicRequest:
    return pb.UpdateClinicRequest(clinic_id=clinic_id, clinic=pb.Clinic(**fields))  # type: ignore[arg-type]


async def test_only_administrators_decide(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    for verb in ("Approve", "Reject", "Suspend"):
        request = getattr(pb, f"{verb}ClinicRequest")(clinic_id=clinic.id)
        for headers in (catalog.wayan.headers, catalog.sari.headers, catalog.booking_service):
            with pytest.raises(aio.AioRpcError) as refused:
                await getattr(catalog.api, f"{verb}Clinic")(request, metadata=headers)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_tiers_come_back_from_most_hours_to_fewest(catalog: Catalog) -> None:
    tiers = [pb.RefundTier(min_hours_before=h, refund_percent=p) for h, p in ((2, 10), (72, 100), (24, 60))]
    clinic = await catalog.applied(cancellation_policy=pb.CancellationPolicy(tiers=tiers))
    assert [tier.min_hours_before for tier in clinic.cancellation_policy.tiers] == [72, 24, 2]


async def test_what_the_contract_says_must_be_there_is_all_that_must(catalog: Catalog) -> None:
    clinic = (await catalog.approved()).id
    making: list[tuple[Any, Any, str, Any]] = [
        (catalog.api.CreateClinic, pb.CreateClinicRequest(), "clinic", clinic_form()),
        (catalog.api.CreateService, pb.CreateServiceRequest(clinic_id=clinic), "service", service_form()),
        (catalog.api.CreateStaff, pb.CreateStaffRequest(clinic_id=clinic), "staff", staff_form()),
    ]
    for make, request, field, form in making:
        needed = needed_fields(form)
        for other in {each.name for each, _ in form.ListFields()} - set(needed):
            form.ClearField(other)
        getattr(request, field).CopyFrom(form)
        await make(request, metadata=catalog.wayan.headers)
        for name in needed:
            getattr(request, field).CopyFrom(form)
            getattr(request, field).ClearField(name)
            with pytest.raises(aio.AioRpcError) as refused:
                await make(request, metadata=catalog.wayan.headers)
            (broken,) = broken_fields(refused.value)
            assert broken.startswith(f"{field}.{name}")


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"name": "  "}, "clinic.name"),
    ({"address": ""}, "clinic.address"),
    ({"city": ""}, "clinic.city"),
    ({"province": ""}, "clinic.province"),
    ({"postal_code": ""}, "clinic.postal_code"),
    ({"phone_number": "call me"}, "clinic.phone_number"),
    ({"email": "menteng"}, "clinic.email"),
    ({"website": "javascript:alert(1)"}, "clinic.website"),
    ({"latitude": -6.2}, "clinic.latitude"),
    ({"latitude": 91.0, "longitude": 0.0}, "clinic.latitude"),
    ({"timezone": "Asia/Atlantis"}, "clinic.timezone"),
    ({"timezone": "../../etc/passwd"}, "clinic.timezone"),
    ({"facilities": [""]}, "clinic.facilities"),
    ({"name": "a\x00b"}, "clinic.name"),
    ({"name": "Klinik\n\nYou have won"}, "clinic.name"),
    ({"city": "a\u2028b"}, "clinic.city"),
    ({"name": "\u200b"}, "clinic.name"),
    ({"name": "Klinik \u202eawtaS"}, "clinic.name"),
    ({"facilities": ["\u2800"]}, "clinic.facilities"),
    ({"facilities": ["\u202egnikrap"]}, "clinic.facilities"),
    ({"description": "ring the bell\x07"}, "clinic.description"),
    ({"facilities": ["parking\ttoilet"]}, "clinic.facilities"),
    ({"operating_hours": {"someday": pb.DayHours(open="09:00", close="17:00", is_open=True)}},
     "clinic.operating_hours.someday"),
    ({"operating_hours": {"monday": pb.DayHours(open="20:00", is_open=True)}}, "clinic.operating_hours.monday"),
    ({"operating_hours": {"monday": pb.DayHours(close="04:00", is_open=True)}}, "clinic.operating_hours.monday"),
    ({"operating_hours": {"monday": pb.DayHours(is_open=True)}}, "clinic.operating_hours.monday"),
    ({"operating_hours": {"monday": pb.DayHours(open="09:00", close="17:00")}}, "clinic.operating_hours.monday"),
    ({"cancellation_policy": tier_policy((24, 100), (24, 50))}, "clinic.cancellation_policy.tiers"),
    ({"cancellation_policy": tier_policy((24, 50), (6, 100))}, "clinic.cancellation_policy.tiers"),
    ({"cancellation_policy": tier_policy((0, 0))}, "clinic.cancellation_policy.tiers.refund_percent"),
]  # fmt: skip


async def test_a_clinic_that_breaks_a_rule_is_refused_and_the_field_is_named(catalog: Catalog) -> None:
    for fields, field in BROKEN:
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.applied(**fields)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, fields
        assert broken_fields(refused.value) == {field}, fields


async def test_everything_that_is_wrong_is_said_at_once(catalog: Catalog) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.applied(name="", city="", email="x", timezone="Mars/Olympus")
    assert broken_fields(refused.value) == {"clinic.name", "clinic.city", "clinic.email", "clinic.timezone"}


async def test_days_that_are_not_named_are_days_off(catalog: Catalog) -> None:
    hours = {"sunday": pb.DayHours(open="10:00", close="14:00", is_open=True)}
    clinic = await catalog.applied(operating_hours=hours)
    assert {day for day, hours in clinic.operating_hours.items() if hours.is_open} == {"sunday"}
    assert set(clinic.operating_hours) == WEEKDAYS


async def test_others_learn_of_a_clinic_what_they_need_and_each_version_once(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    applied, approved = await catalog.events("clinic.changed")
    assert [applied["version"], approved["version"]] == [1, 2]
    assert approved == {
        "event_type": "clinic.changed",
        "clinic_id": clinic.id,
        "owner_id": str(catalog.wayan.id),
        "name": "Klinik Hewan Menteng",
        "city": "Jakarta",
        "status": "approved",
        "timezone": "Asia/Jakarta",
        "commission_rate": "10.00",
        "cancellation_policy": {
            "tiers": [
                {"min_hours_before": 24, "refund_percent": 100},
                {"min_hours_before": 6, "refund_percent": 50},
            ],
            "no_show_fee_percent": 100,
            "version": 1,
        },
        "operating_hours": approved["operating_hours"],
        "version": 2,
    }
    assert approved["operating_hours"]["sunday"] == {"open": None, "close": None, "is_open": False}


async def test_the_same_request_twice_makes_one_clinic(catalog: Catalog) -> None:
    request = pb.CreateClinicRequest(clinic=clinic_form(), request_id="apply-1")
    first = (await catalog.api.CreateClinic(request, metadata=catalog.wayan.headers)).clinic
    again = (await catalog.api.CreateClinic(request, metadata=catalog.wayan.headers)).clinic
    assert again == first
    assert len(await catalog.events("clinic.changed")) == 1
    request.clinic.name = "Another"
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.CreateClinic(request, metadata=catalog.wayan.headers)
    assert reason(refused.value) == "REQUEST_ID_REUSED"


async def test_of_two_decisions_at_once_one_is_made(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    replies = await asyncio.gather(
        catalog.api.ApproveClinic(pb.ApproveClinicRequest(clinic_id=clinic.id), metadata=catalog.admin.headers),
        catalog.api.ApproveClinic(pb.ApproveClinicRequest(clinic_id=clinic.id), metadata=catalog.admin.headers),
        return_exceptions=True,
    )
    refused = [reason(reply) for reply in replies if isinstance(reply, aio.AioRpcError)]
    assert refused == ["WRONG_CLINIC_STATUS"]
    assert [event["version"] for event in await catalog.events("clinic.changed")] == [1, 2]
