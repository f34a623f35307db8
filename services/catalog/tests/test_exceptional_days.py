"""Dates on which a service is not to be had as usual: what a clinic writes of them is kept, told and shown."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields, mask

CHRISTMAS = pb.AvailabilityException(date="2026-12-25", reason="Natal")
NEW_YEARS_EVE = pb.AvailabilityException(
    date="2026-12-31", hours=pb.DayHours(open="09:00", close="12:00", is_open=True)
)
SHOWN_CHRISTMAS = pb.AvailabilityException(date="2026-12-25", hours=pb.DayHours(), reason="Natal")
CLOSED = {"open": None, "close": None, "is_open": False}


async def edited(catalog: Catalog, service: pb.Service, edit: pb.Service, *paths: str) -> pb.Service:
    request = pb.UpdateServiceRequest(service_id=service.id, service=edit, update_mask=mask(*paths))
    return (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service


async def test_dates_are_kept_in_their_order_and_shown_to_everybody(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic, availability_exceptions=[NEW_YEARS_EVE, CHRISTMAS])
    assert list(service.availability_exceptions) == [SHOWN_CHRISTMAS, NEW_YEARS_EVE]
    assert (await catalog.api.GetService(pb.GetServiceRequest(service_id=service.id))).service == service
    (listed,) = (await catalog.api.ListServices(pb.ListServicesRequest(clinic_id=clinic.id))).services
    assert listed == service


async def test_others_are_told_the_dates_and_hours_without_the_reasons(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    await edited(catalog, service, pb.Service(availability_exceptions=[CHRISTMAS, NEW_YEARS_EVE]))

    before, after = await catalog.events("service.changed")
    assert before["availability_exceptions"] == []
    assert after["availability_exceptions"] == [
        {"date": "2026-12-25", **CLOSED},
        {"date": "2026-12-31", "open": "09:00", "close": "12:00", "is_open": True},
    ]


async def test_an_edit_changes_the_dates_as_a_whole_and_only_where_it_is_about_them(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved(), availability_exceptions=[CHRISTMAS])

    renamed = await edited(catalog, service, pb.Service(name="Vaksinasi"))
    assert list(renamed.availability_exceptions) == [SHOWN_CHRISTMAS]
    other = await edited(catalog, service, pb.Service(availability_exceptions=[NEW_YEARS_EVE]))
    assert list(other.availability_exceptions) == [NEW_YEARS_EVE]
    unnamed = await edited(catalog, service, pb.Service(availability_exceptions=[CHRISTMAS], name="Suntik"), "name")
    assert (unnamed.name, list(unnamed.availability_exceptions)) == ("Suntik", [NEW_YEARS_EVE])
    none = await edited(catalog, service, pb.Service(), "availability_exceptions")
    assert list(none.availability_exceptions) == []


async def test_what_is_written_back_as_it_was_shown_changes_nothing(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved(), availability_exceptions=[NEW_YEARS_EVE, CHRISTMAS])
    again = await edited(catalog, service, service, "availability_exceptions")
    assert again.version == service.version


BROKEN: list[tuple[list[dict[str, Any]], str]] = [
    ([{"date": "2026-02-29"}], "service.availability_exceptions"),
    ([{"date": "2026-12-25"}, {"date": "2026-12-26"}, {"date": "2026-12-25"}], "service.availability_exceptions"),
    ([{"date": "2026-12-25", "hours": pb.DayHours(open="09:00", is_open=True)}], "service.availability_exceptions"),
    ([{"date": "2026-12-25", "hours": pb.DayHours(open="09:00", close="10:00")}], "service.availability_exceptions"),
    ([{"date": "2026-12-25", "reason": "a\nb"}], "service.availability_exceptions"),
    ([{"date": "25 Dec"}], "service.availability_exceptions.date"),
    ([{"date": "2026-12-25", "reason": "x" * 101}], "service.availability_exceptions.reason"),
    (
        [{"date": "2026-12-25", "hours": pb.DayHours(open="9", close="10:00", is_open=True)}],
        "service.availability_exceptions.hours.open",
    ),
    ([{"date": f"{2000 + year}-01-01"} for year in range(101)], "service.availability_exceptions"),
]


async def test_dates_that_break_a_rule_are_refused_and_named(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    for days, field in BROKEN:
        wrong = [pb.AvailabilityException(**day) for day in days]
        writes: list[Callable[[], Awaitable[pb.Service]]] = [
            partial(catalog.offered, clinic, availability_exceptions=wrong),
            partial(edited, catalog, service, pb.Service(availability_exceptions=wrong)),
        ]
        for write in writes:
            with pytest.raises(aio.AioRpcError) as refused:
                await write()
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, days
            assert broken_fields(refused.value) == {field}, days


async def test_a_service_of_the_release_before_has_no_such_dates(catalog: Catalog) -> None:
    """Its rows have the column's default, and its edits leave what is there alone."""
    service = await catalog.offered(await catalog.approved(), availability_exceptions=[CHRISTMAS])
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE services SET name = 'Suntik', version = version + 1"))
        await tx.execute(
            text("INSERT INTO services (clinic_id, name, price) SELECT clinic_id, 'Lama', 1 FROM services")
        )
    listed = (await catalog.api.ListServices(pb.ListServicesRequest(clinic_id=service.clinic_id))).services
    assert [(one.name, list(one.availability_exceptions)) for one in listed] == [
        ("Lama", []),
        ("Suntik", [SHOWN_CHRISTMAS]),
    ]
