"""What cancelling would give back: told beforehand, and exactly what is then given."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_common.ids import new_id
from petpro_common.pool import Pool
from services.booking.tests.test_bookings import get, move
from services.booking.tests.world import Metadata, World, reason, until_somebody_waits


async def quote(world: World, booking_id: UUID, metadata: Metadata) -> booking_pb2.QuoteRefundResponse:
    ask = booking_pb2.QuoteRefundRequest(booking_id=str(booking_id))
    reply: booking_pb2.QuoteRefundResponse = await world.bookings.QuoteRefund(ask, metadata=metadata)
    return reply


async def cancel(world: World, booking_id: UUID, metadata: Metadata) -> None:
    order = booking_pb2.CancelBookingRequest(booking_id=str(booking_id), reason="Miko is well again")
    await world.bookings.CancelBooking(order, metadata=metadata)


@pytest.mark.parametrize(("hours", "back"), [(48, "150000.00"), (5, "0.00")])
async def test_what_is_told_is_what_a_cancellation_gives(world: World, hours: int, back: str) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=hours)))
    mine = world.signed_in(budi)
    told = await quote(world, booking_id, mine)
    assert told.refund_amount.amount == back
    await cancel(world, booking_id, mine)
    assert (await get(world, booking_id, mine)).refund_amount == told.refund_amount
    assert await reason(quote(world, booking_id, mine)) in ("CANCELLATION_IN_PROGRESS", "WRONG_BOOKING_STATUS")


async def test_a_quote_is_told_while_commits_wait_for_a_lost_standby(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=48)))
    monkeypatch.setattr(Pool, "committing", 100)  # more than the pool may have
    assert (await quote(world, booking_id, world.signed_in(budi))).refund_amount.amount == "150000.00"


async def test_a_quote_says_how_long_it_holds(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=48)))
    told = await quote(world, booking_id, world.signed_in(budi))
    starts = (await get(world, booking_id, world.signed_in(budi))).starts_at.ToDatetime(UTC)
    assert told.valid_until.ToDatetime(UTC) == starts - timedelta(hours=24)
    assert (told.refund_percent, told.kept_amount.amount, told.policy_version) == (100, "0.00", 1)


async def ask_in_time_and_wait(world: World, asking: Coroutine[Any, Any, object], until_start: str) -> None:
    """Somebody else has the booking in hand until a boundary has passed that was still ahead when it was asked for."""
    async with world.database.transaction() as tx:
        await tx.execute(text("SELECT FROM bookings FOR UPDATE"))
        asked = asyncio.create_task(asking)
        await until_somebody_waits(world, 1)
        await tx.execute(text(f"UPDATE bookings SET starts_at = clock_timestamp() + interval '{until_start}'"))  # noqa: S608
    await asked


async def test_what_was_asked_in_time_is_judged_as_asked_and_not_as_its_turn_came(world: World) -> None:
    """By the same instant that the auditor takes, the beginning of the saga."""
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=25)))
    await ask_in_time_and_wait(world, cancel(world, booking_id, mine), "24 hours")
    [row] = await world.sql(
        "SELECT refund_amount, bookings.starts_at - sagas.created_at AS ahead FROM bookings JOIN sagas"
        " ON sagas.id = cancellation_saga_id"
    )
    assert (str(row.refund_amount), row.ahead >= timedelta(hours=24)) == ("150000.00", True)


@pytest.mark.parametrize("act", ["cancel", "move"])
async def test_who_asks_before_it_begins_is_not_late_because_they_had_to_wait(world: World, act: str) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=25)))
    moving = move(world, booking_id, await world.open_slot(timedelta(days=9)), mine)
    await ask_in_time_and_wait(world, cancel(world, booking_id, mine) if act == "cancel" else moving, "0 hours")
    moving.close()


async def test_the_clinic_is_told_that_it_gives_everything_back(world: World) -> None:
    booking_id = await world.book(new_id(), await world.open_slot(timedelta(hours=1)))
    told = await quote(world, booking_id, world.as_ani)
    assert (told.refund_amount.amount, told.HasField("valid_until")) == ("150000.00", False)
    assert await reason(quote(world, booking_id, world.signed_in(new_id()))) == "BOOKING_NOT_FOUND"


async def test_a_late_move_into_the_far_future_makes_no_cancellation_free(world: World) -> None:
    budi = new_id()
    soon, later, latest = [await world.open_slot(timedelta(hours=hours)) for hours in (5, 500, 900)]
    booking_id, mine = await world.book(budi, soon), world.signed_in(budi)
    await move(world, booking_id, later, mine)
    assert (await quote(world, booking_id, mine)).refund_amount.amount == "0.00"
    await move(world, booking_id, latest, world.as_ani)
    assert (await quote(world, booking_id, mine)).refund_amount.amount == "0.00"
    await cancel(world, booking_id, mine)
    assert (await get(world, booking_id, mine)).refund_amount.amount == "0.00"


async def test_a_move_in_time_and_one_by_the_clinic_cost_nothing(world: World) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    early = await world.book(budi, await world.open_slot(timedelta(hours=60)))
    await move(world, early, await world.open_slot(timedelta(hours=500)), mine)
    late = await world.book(budi, await world.open_slot(timedelta(hours=5)))
    await move(world, late, await world.open_slot(timedelta(hours=600)), world.as_ani)
    for booking_id in (early, late):
        assert (await quote(world, booking_id, mine)).refund_amount.amount == "150000.00"
