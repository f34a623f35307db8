"""Holds that run out, and who wins when something else happens at that very moment."""

import asyncio
import random
from uuid import UUID

from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import bookings, expiry, store
from petpro_common.ids import new_id
from petpro_common.testing import eventually, running
from services.booking.tests.world import World, reason

ROUNDS = 40
_MORE = """
    INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
        lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at)
    SELECT new.id, uuid_extract_timestamp(new.id), user_id, pet_id, service_id, slot_id, slot_date, clinic_id,
        starts_at, lock_id, price, currency, commission_rate, cancellation_policy, requires_approval,
        clock_timestamp() + CAST(:runs_out AS interval)
    FROM (SELECT uuidv7() AS id FROM generate_series(1, :number)) AS new, (SELECT * FROM reservations LIMIT 1) AS one
"""
_READ = text("SELECT CAST(sum(idx_tup_fetch + seq_tup_read) AS bigint) FROM pg_stat_xact_user_tables")


async def test_a_hold_that_ran_out_frees_its_seat_and_says_so(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    held = await world.hold(budi, slot_id)
    assert await expiry.sweep(world.database) == 0
    await world.run_out(held.id)

    assert await expiry.sweep(world.database) == 1
    assert await expiry.sweep(world.database) == 0

    assert await world.seats(slot_id) == (0, "available")
    assert await world.events("reservation.expired") == [
        {
            "event_type": "reservation.expired",
            "reservation_id": held.id,
            "user_id": str(budi),
            "service_id": str(world.service_id),
            "slot_id": str(slot_id),
        }
    ]
    give_back = booking_pb2.CancelReservationRequest(reservation_id=held.id)
    call = world.reservations.CancelReservation(give_back, metadata=world.signed_in(budi))
    assert await reason(call) == "RESERVATION_EXPIRED"


async def test_a_sweep_reads_what_has_run_out_and_not_what_is_held_or_was(world: World) -> None:
    """By a plan that was made while the tables were empty and known to be."""
    await world.sql("ANALYZE")
    for _ in range(6):  # PostgreSQL keeps a plan after five at most
        assert await expiry.sweep(world.database) == 0
    await world.hold(new_id(), await world.open_slot())
    await world.sql(_MORE, number=2000, runs_out="10 minutes")
    await world.sql(_MORE, number=60, runs_out="-1 second")
    async with world.database.transaction() as tx:
        before = (await tx.execute(_READ)).scalar_one()  # what this connection has read up to here may be in it
        expired = await store.expire(tx, expiry.BATCH)
        store.free_seats(tx, [reservation.slot_id for reservation in expired])
        read = (await tx.execute(_READ)).scalar_one() - before
    assert len(expired) == 60
    assert 0 < read < 60 * 10  # the hold to lock, the hold to change, the seat, and what lies dead in between


async def test_many_sweeps_at_once_expire_each_hold_once(world: World) -> None:
    slot_ids = [await world.open_slot(capacity=100) for _ in range(3)]
    held = await asyncio.gather(*(world.hold(new_id(), slot_ids[n % 3]) for n in range(150)))
    await world.sql("UPDATE reservations SET expires_at = clock_timestamp() - interval '1 second'")

    counts = await asyncio.gather(*(expiry.sweep(world.database) for _ in range(6)))
    rest = await expiry.sweep(world.database)

    assert sum(counts) + rest == len(held)
    assert [await world.seats(slot_id) for slot_id in slot_ids] == [(0, "available")] * 3
    expired = [event["reservation_id"] for event in await world.events("reservation.expired")]
    assert sorted(expired) == sorted(reservation.id for reservation in held)


async def test_the_sweep_wakes_when_a_hold_runs_out(world: World) -> None:
    slot_id = await world.open_slot()
    held = await world.hold(new_id(), slot_id)
    await world.sql("UPDATE reservations SET expires_at = clock_timestamp() + interval '0.4 seconds'")

    async def is_free() -> bool:
        return await world.seats(slot_id) == (0, "available")

    async with running(expiry.run(world.database, longest_sleep=600.0)):
        await eventually(is_free)

    [ended] = await world.sql("SELECT updated_at >= expires_at AS in_time FROM reservations")
    assert ended.in_time
    assert held.id


async def test_between_expiry_and_confirm_exactly_one_wins(world: World) -> None:
    won, ahead = {"expiry": 0, "confirm": 0}, 0.0
    while sum(won.values()) < ROUNDS or not all(won.values()):
        slot_id = await world.open_slot()
        held = await world.hold(new_id(), slot_id)
        await world.run_out(held.id)

        expired, confirmed = await asyncio.gather(
            _sweep(world, after=max(-ahead, 0.0)), _confirm(world, UUID(held.id), after=max(ahead, 0.0))
        )

        assert expired != confirmed
        won["expiry" if expired else "confirm"] += 1
        ahead += random.random() * (-0.004 if expired else 0.004)  # so that it is a race on any machine
        assert await world.seats(slot_id) == ((1, "booked") if confirmed else (0, "available"))
    assert len(await world.events("booking.confirmed")) == won["confirm"]
    assert len(await world.events("reservation.expired")) == won["expiry"]


async def _sweep(world: World, after: float) -> bool:
    await asyncio.sleep(after)
    swept = await expiry.sweep(world.database)
    # A row that the other side has locked is passed over; the next sweep sees what became of it.
    return bool(swept or await expiry.sweep(world.database))


async def _confirm(world: World, reservation_id: UUID, after: float) -> bool:
    await asyncio.sleep(after)
    async with world.database.transaction() as tx:
        reservation = await store.lock_reservation(tx, reservation_id)
        assert reservation is not None
        if reservation.status != "pending":
            return False
        await bookings.confirm(tx, [bookings.Paid(reservation, new_id(), new_id())])
    return True
