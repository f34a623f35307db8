"""What is done to one row or to several is the same."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from petpro_booking import store, store_sagas
from petpro_common.ids import id_of_date, new_id
from services.booking.tests.world import World, until_somebody_waits

_COPY = """
    WITH code AS (
        INSERT INTO reference_codes VALUES (:code, :id, uuidv7())
        RETURNING booking_id AS id, reservation_id, reference_code)
    INSERT INTO bookings SELECT other.* FROM code, bookings AS known, jsonb_populate_record(known,
        to_jsonb(code) || jsonb_build_object('created_at', uuid_extract_timestamp(code.id))) AS other
    WHERE known.id = :known RETURNING 1
"""


@pytest.mark.parametrize("count", [1, 3])
async def test_bookings_are_cancelled_in_any_number_and_only_once(world: World, count: int) -> None:
    slot_id = await world.open_slot(capacity=5)
    ids = [await world.book(new_id(), slot_id) for _ in range(count)]
    bookings = [store_sagas.CancelledBooking(id_, "ill", None) for id_ in reversed(ids)]
    async with world.database.transaction() as tx:
        cancelled = await store_sagas.cancel_bookings(tx, bookings)
    assert [booking and booking.id for booking in cancelled] == [booking.id for booking in bookings]
    assert await world.seats(slot_id) == (0, "available")

    another = await world.book(new_id(), slot_id)
    async with world.database.transaction() as tx:
        once_more = await store_sagas.cancel_bookings(
            tx, [*bookings, store_sagas.CancelledBooking(another, "ill", "manual")]
        )
    assert [booking and booking.id for booking in once_more] == [None] * count + [another]
    assert await world.seats(slot_id) == (0, "available")


async def test_what_is_told_of_one_refund_at_once_is_written_in_its_order(world: World) -> None:
    slot_id = await world.open_slot(capacity=5)
    first, second = [await world.book(new_id(), slot_id) for _ in range(2)]
    locks = [store_sagas.CancellationLock(id_, new_id(), "customer", Decimal(1), "pending") for id_ in (second, first)]
    async with world.database.transaction() as tx:
        assert await store_sagas.request_cancellations(tx, locks) == [True, True]
        again = [store_sagas.CancellationLock(first, new_id(), "customer", Decimal(2), "none"), locks[0]]
        assert await store_sagas.request_cancellations(tx, again) == [False, False]
    told = [(first, "succeeded", "pending"), (second, "manual", "succeeded"), (first, "manual", "succeeded")]
    async with world.database.transaction() as tx:
        for each in told:
            store_sagas.set_refund_status(tx, store_sagas.RefundStatusChange(*each))
    async with world.database.reading() as tx:
        rows = await tx.execute(*store.getting_bookings([first, second]))
    assert {row.id: row.refund_status for row in rows} == {first: "manual", second: "manual"}


@pytest.mark.parametrize("count", [1, 3])
async def test_who_waits_for_somebody_elses_change_finds_it(world: World, count: int) -> None:
    slot_id = await world.open_slot(capacity=5)
    ids = [await world.book(new_id(), slot_id) for _ in range(count)]

    async def lock() -> list[str]:
        async with world.database.transaction() as tx:
            rows = await tx.execute(*store_sagas.locking_bookings_for((id_, None) for id_ in ids))
        return [row.status for row in rows]

    async with world.database.transaction() as tx:
        first = await store_sagas.cancel_bookings(tx, [store_sagas.CancelledBooking(ids[-1], "ill", None)])
        waiting = asyncio.gather(cancel(world, ids), lock())
        await until_somebody_waits(world, 2)
    cancelled, statuses = await waiting
    assert first[0]
    assert [booking is not None for booking in cancelled] == [True] * (count - 1) + [False]
    assert statuses[-1] == "cancelled"
    assert await world.seats(slot_id) == (0, "available")


@pytest.mark.parametrize("count", [1, 3])
async def test_a_change_that_has_to_wait_for_another_is_made_to_all(world: World, count: int) -> None:
    slot_id = await world.open_slot(capacity=5)
    ids = [await world.book(new_id(), slot_id) for _ in range(count)]

    async with world.database.transaction() as tx:
        lock = store_sagas.CancellationLock(ids[-1], new_id(), "customer", Decimal(1), "pending")
        await store_sagas.request_cancellations(tx, [lock])
        waiting = asyncio.create_task(cancel(world, ids))
        await until_somebody_waits(world, 1)
    cancelled = await waiting
    assert all(cancelled)
    assert cancelled[-1].refund_status == "pending"


@pytest.mark.parametrize("waits_for", range(3))
async def test_who_waits_finds_all_of_them_in_whatever_quarters_they_lie(world: World, waits_for: int) -> None:
    known = await world.book(new_id(), await world.open_slot())
    ids = [id_of_date(date(2025, month, 2)) for month in (2, 5, 8)]
    for id_ in ids:
        await world.sql("SELECT ensure_quarter_partition('bookings', uuid_extract_timestamp(:id))", id=id_)
        await world.sql(_COPY, id=id_, known=known, code=f"PP-{id_.hex[:12]}")

    async def lock() -> list[str]:
        async with world.database.transaction() as tx:
            rows = await tx.execute(*store_sagas.locking_bookings_for((id_, None) for id_ in ids))
        return [row.status for row in rows]

    async with world.database.transaction() as tx:
        assert all(await store_sagas.cancel_bookings(tx, [store_sagas.CancelledBooking(ids[waits_for], "ill", None)]))
        waiting = asyncio.gather(lock(), cancel(world, ids))
        await until_somebody_waits(world, 2)
    statuses, cancelled = await waiting
    assert len(statuses) == 3
    assert statuses[waits_for] == "cancelled"
    assert [booking is None for booking in cancelled] == [number == waits_for for number in range(3)]


@pytest.mark.parametrize("stranger", [UUID(int=0), uuid4(), UUID(int=2**128 - 1), id_of_date(date(2039, 1, 1))])
async def test_an_id_that_nothing_has_is_in_nobodys_way(world: World, stranger: UUID) -> None:
    slot_id = await world.open_slot(capacity=5)
    ids = [await world.book(new_id(), slot_id), stranger]
    first, second = await cancel(world, ids)
    assert first
    assert second is None


async def cancel(world: World, ids: list[UUID]) -> list[Any]:
    async with world.database.transaction() as tx:
        return await store_sagas.cancel_bookings(tx, [store_sagas.CancelledBooking(id_, "ill", None) for id_ in ids])
