"""One slot that somebody keeps locked, as a replica does whose machine froze in its transaction."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from grpc import StatusCode, aio
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_common.db import Database
from petpro_common.ids import new_id
from services.booking.tests.world import World

_PATIENCE_SECONDS = 4.0  # less than a lock is waited for by who is alone with it
_LOCK = text("SELECT FROM slots WHERE id = :id FOR NO KEY UPDATE")


async def test_a_locked_slot_keeps_no_hold_of_another_waiting(world: World, connect: Callable[[], Database]) -> None:
    locked, free = [await world.open_slot(timedelta(days=days), capacity=100) for days in (2, 3)]
    pets = {person: await world.known_pet(person) for person in (new_id() for _ in range(24))}
    people = list(pets)
    await world.hold(people[0], free, pets[people[0]])

    async def hold(person: UUID, slot: UUID, seconds: float) -> StatusCode:
        request = booking_pb2.CreateReservationRequest(slot_id=str(slot), pet_id=str(pets[person]))
        try:
            await world.reservations.CreateReservation(request, metadata=world.signed_in(person), timeout=seconds)
        except aio.AioRpcError as fault:
            return fault.code()
        return StatusCode.OK

    others, kept = [], []
    async with connect().transaction() as frozen:
        await frozen.execute(_LOCK, {"id": locked})
        for person, other in zip(people[::2], people[1::2], strict=True):
            kept.append(asyncio.create_task(hold(person, locked, 1.5)))
            others.append(asyncio.create_task(hold(other, free, _PATIENCE_SECONDS)))
            await asyncio.sleep(0.3)
        assert await asyncio.gather(*others) == [StatusCode.OK] * len(others)
        assert set(await asyncio.gather(*kept)) == {StatusCode.DEADLINE_EXCEEDED}
    assert await world.hold(people[0], locked, pets[people[0]])
    [made] = await world.sql("SELECT count(*) AS holds FROM reservations WHERE slot_id = :slot", slot=locked)
    assert made.holds <= 2  # that of the last hold, and of whoever was just waiting: nobody else who had gone
