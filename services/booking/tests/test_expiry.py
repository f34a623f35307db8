"""Holds that run out, and who wins when something else happens at that very moment."""

import asyncio
import random
from uuid import UUID

from petpro.booking.v1 import booking_pb2
from petpro_booking import bookings, expiry, store
from petpro_common.ids import new_id
from services.booking.tests.world import World, reason

ROUNDS = 40


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

    sweeping = asyncio.create_task(expiry.run(world.database, longest_sleep=30.0))
    async with asyncio.timeout(3):
        while (await world.seats(slot_id))[0]:
            await asyncio.sleep(0.02)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)

    [late] = await world.sql("SELECT EXTRACT(epoch FROM updated_at - expires_at)::float AS seconds FROM reservations")
    assert 0 <= late.seconds < 0.5
    assert held.id


async def test_between_expiry_and_confirm_exactly_one_wins(world: World) -> None:
    won = {"expiry": 0, "confirm": 0}
    for _ in range(ROUNDS):
        slot_id = await world.open_slot()
        held = await world.hold(new_id(), slot_id)
        await world.run_out(held.id)

        expired, confirmed = await asyncio.gather(_sweep(world), _confirm(world, UUID(held.id)))

        assert expired != confirmed
        won["expiry" if expired else "confirm"] += 1
        assert await world.seats(slot_id) == ((1, "booked") if confirmed else (0, "available"))
    assert len(await world.events("booking.confirmed")) == won["confirm"]
    assert len(await world.events("reservation.expired")) == won["expiry"]
    assert all(won.values()), "each side must have been first at least once"


async def _sweep(world: World) -> bool:
    await asyncio.sleep(random.random() * 0.004)
    swept = await expiry.sweep(world.database)
    # A row that the other side has locked is passed over; the next sweep sees what became of it.
    return bool(swept or await expiry.sweep(world.database))


async def _confirm(world: World, reservation_id: UUID) -> bool:
    await asyncio.sleep(random.random() * 0.004)
    async with world.database.transaction() as tx:
        reservation = await store.lock_reservation(tx, reservation_id)
        assert reservation is not None
        if reservation.status != "pending":
            return False
        await bookings.confirm_from(tx, reservation, new_id(), new_id())
    return True
