"""People who were erased: what is to come ends as if they had asked, and none of their words stays, however late."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import erasure, store_personal, store_sagas
from petpro_booking.consumer import HANDLERS
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.personal.erasure import forget_again
from petpro_common.testing import eventually
from services.booking.tests.desk import Desk
from services.booking.tests.test_starts_together import cancel, cancelling, customer, engine_on
from services.booking.tests.world import World

WORDS = """
    SELECT string_agg(concat_ws(' ', notes, cancellation_reason, data), ' ') FROM (
        SELECT notes, NULL AS cancellation_reason, NULL AS data FROM reservations
        UNION ALL SELECT notes, cancellation_reason, NULL FROM bookings
        UNION ALL SELECT NULL, NULL, CAST(data AS text) FROM sagas) AS written(notes, cancellation_reason, data)
"""
CALLED_OFF_BY_CLINIC = """
    UPDATE bookings SET status = 'cancelled', cancelled_by = 'clinic', cancellation_reason = 'Miko bites'
    WHERE id = :id RETURNING 1
"""
UNDER_WAY = "SELECT status FROM sagas WHERE status NOT IN ('completed', 'compensated')"
UNDER_WAY_WITH_WORDS = f"{UNDER_WAY} AND CAST(data AS text) LIKE '%Miko%'"


async def erased(world: World, user_id: UUID) -> None:
    """What the consumer does with the event."""
    async with world.database.transaction() as tx:
        await HANDLERS["user.erased"](tx, {"event_type": "user.erased", "user_id": str(user_id), "version": 3})


async def end_all(world: World) -> None:
    await erasure.end_all(world.database, engine_on(world.database))


async def words(world: World) -> str:
    return str((await world.sql(WORDS))[0][0])


async def statuses(world: World, statement: str) -> list[str]:
    return [row.status for row in await world.sql(statement)]


@pytest.mark.parametrize("moved", [0, 1])
async def test_who_forgets_and_who_cancels_do_not_wait_in_a_circle(
    world: World, connect: Callable[[], Database], moved: int
) -> None:
    """A booking that was changed last lies behind the other in the table."""
    budi, slot = new_id(), await world.open_slot(timedelta(days=2), capacity=10)
    ids = sorted([await world.book(budi, slot), await world.book(budi, slot)])
    await world.sql("UPDATE bookings SET notes = 'limps' RETURNING 1")
    await world.sql("UPDATE bookings SET status = 'completed' WHERE id = :id RETURNING 1", id=ids[moved])

    async def cancels() -> None:
        async with connect().transaction() as tx:
            await tx.execute(*store_sagas.locking_bookings_for([(id_, budi) for id_ in ids]))

    async def forgets() -> None:
        async with connect().transaction() as tx:
            await store_personal.forget(tx, [budi])

    async with connect().transaction() as tx:
        await tx.execute(text("SELECT FROM bookings WHERE id = :id FOR UPDATE"), {"id": ids[0]})
        first = asyncio.create_task(cancels())
        await asyncio.sleep(0.5)
        second = asyncio.create_task(forgets())
        await asyncio.sleep(0.5)
    await asyncio.gather(first, second)
    assert not await world.sql("SELECT FROM bookings WHERE notes IS NOT NULL")


async def test_holds_are_given_back_and_bookings_cancelled_under_their_policy(desk: Desk) -> None:
    world, siti = desk.world, new_id()
    soon, later, held, hers = [await world.open_slot(timedelta(hours=hours)) for hours in (12, 48, 60, 72)]
    booked = [await desk.book(soon), await desk.book(later)]
    await desk.hold(held)
    await world.book(siti, hers)

    for _ in range(2):
        await erased(world, desk.budi)
        await end_all(world)

    for booking_id, percent in zip(booked, (0, 100), strict=True):
        gone = await desk.until_cancellation(booking_id, booking_pb2.CANCELLATION_STATUS_CANCELLED)
        assert float(gone.refund_amount.amount) == float(gone.amount.amount) * percent / 100
        assert gone.cancellation_reason == "erased"
    await eventually(desk.all_has_ended)
    assert [(await world.seats(slot))[0] for slot in (soon, later, held, hers)] == [0, 0, 0, 1]
    assert len(await world.events("booking.cancelled")) == 2
    assert len(await world.events("reservation.cancelled")) == 1


async def test_one_of_the_clinics_own_people_gets_back_what_the_policy_gives_a_customer(world: World) -> None:
    await world.book(world.ani, await world.open_slot(timedelta(hours=2)))

    await erased(world, world.ani)
    await end_all(world)

    [(by, refund)] = await world.sql("SELECT cancelled_by, refund_amount FROM bookings")
    assert (by, refund) == ("customer", 0)
    assert [row.saga_type for row in await world.sql("SELECT saga_type FROM sagas")] == ["cancellation"]


async def test_no_words_stay_and_a_cancellation_under_way_writes_none_at_its_end(world: World) -> None:
    budi, siti = new_id(), new_id()
    mine = await world.book(budi, await world.open_slot(timedelta(days=2)))
    past = await world.book(budi, await world.open_slot(timedelta(days=3)))
    called_off = await world.book(budi, await world.open_slot(timedelta(days=4)))
    hers = await world.book(siti, await world.open_slot(timedelta(days=5)))
    await world.sql(
        "UPDATE bookings SET notes = 'Miko limps', status = 'completed' WHERE id = :id RETURNING 1", id=past
    )
    await world.sql(CALLED_OFF_BY_CLINIC, id=called_off)
    await world.sql("UPDATE reservations SET notes = 'Miko limps' WHERE user_id = :id RETURNING 1", id=budi)
    await world.sql("UPDATE bookings SET notes = 'Luna bites' WHERE id = :id RETURNING 1", id=hers)
    await cancel(world, [cancelling(customer(budi), mine)])
    assert "Miko is well again" in await words(world)

    await erased(world, budi)

    assert "Miko" not in await words(world)
    assert "Luna bites" in await words(world)
    assert [row.reason for row in await world.sql("SELECT data->>'reason' AS reason FROM sagas")] == ["erased"]
    reasons = await world.sql("SELECT cancellation_reason FROM bookings ORDER BY id")
    assert [row.cancellation_reason for row in reasons] == [None, None, "erased", None]
    left = await statuses(world, "SELECT status FROM bookings ORDER BY id")
    assert left == ["confirmed", "completed", "cancelled", "confirmed"]


async def test_no_words_stay_where_the_money_is_slower_than_the_booking(desk: Desk) -> None:
    world = desk.world
    booked = await desk.book(await world.open_slot(timedelta(days=2)))
    desk.payment.pending |= {"PostBookingFee", "SettleRefundEntry"}
    paid = await desk.pay(await desk.hold(await world.open_slot(timedelta(days=3))), notes="Miko limps")
    await desk.until_checkout(paid.id, booking_pb2.CHECKOUT_STATUS_CONFIRMED)
    await desk.cancel(booked)
    await desk.until_cancellation(booked, booking_pb2.CANCELLATION_STATUS_CANCELLED)
    assert await statuses(world, UNDER_WAY_WITH_WORDS) == ["running", "running"]

    await erased(world, desk.budi)

    assert "Miko" not in await words(world)
    assert await statuses(world, UNDER_WAY) == ["running", "running"]


async def test_what_was_in_hand_at_the_erasure_ends_too(world: World) -> None:
    budi = new_id()
    slots = [await world.open_slot(timedelta(days=days)) for days in (2, 3)]
    await erased(world, budi)
    held = await world.hold(budi, slots[0])
    late = await world.book(budi, slots[1])
    await world.sql("UPDATE bookings SET notes = 'Miko limps' WHERE id = :id RETURNING 1", id=late)

    await forget_again(world.database, store_personal.forget)
    await end_all(world)

    assert "Miko" not in await words(world)
    assert (await world.sql("SELECT status FROM reservations WHERE id = :id", id=UUID(held.id)))[
        0
    ].status == "cancelled"
    [(status, by)] = await world.sql("SELECT cancellation_status, cancelled_by FROM bookings WHERE id = :id", id=late)
    assert (status, by) == ("requested", "customer")


async def test_what_is_being_paid_for_ends_first_and_a_refused_refund_is_not_asked_for_again(
    world: World,
) -> None:
    budi = new_id()
    held = await world.hold(budi, await world.open_slot(timedelta(days=2)))
    booked = await world.book(budi, await world.open_slot(timedelta(days=3)))
    paying = "UPDATE reservations SET checkout_status = 'awaiting_payment' WHERE id = :id RETURNING 1"
    await world.sql(paying, id=UUID(held.id))
    await world.sql("UPDATE bookings SET cancellation_status = 'refused' WHERE id = :id RETURNING 1", id=booked)

    await erased(world, budi)
    await end_all(world)

    assert await statuses(world, "SELECT status FROM reservations ORDER BY id") == ["pending", "confirmed"]
    assert await statuses(world, "SELECT status FROM sagas ORDER BY id") == []
