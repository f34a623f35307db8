"""The database goes away right after it has committed a batch, and before it says so."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from grpc import aio

from petpro.booking.v1 import booking_pb2
from petpro_common import db
from petpro_common.context import current
from petpro_common.ids import new_id
from petpro_common.kill_points import Moment
from petpro_common.testing import reason_of
from services.booking.tests.world import World


class Cut:
    """Raises what the wire raises when the connection is lost while COMMIT, which was carried out, is on its way.

    That of the first call comes through, which goes alone; of those that wait meanwhile it does not.
    """

    def __init__(self) -> None:
        self.commits = 0

    def reach(self, moment: Moment, *_about: str) -> None:
        call = current()
        if moment is Moment.AFTER_COMMIT and call and call.request_id == "of several calls":
            self.commits += 1
            if self.commits == 2:
                raise psycopg.OperationalError("the connection is lost")


async def all_at_once(calls: Sequence[Coroutine[Any, Any, Any]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each call is told: a reason, or nothing."""
    cut = Cut()
    with monkeypatch.context() as patched:
        patched.setattr(db, "kill_points", cut)
        told = await asyncio.gather(*calls, return_exceptions=True)
    assert cut.commits >= 2
    return [reason_of(each) if isinstance(each, aio.AioRpcError) else "" for each in told]


@pytest.mark.parametrize("has_id", [True, False])
async def test_a_hold_is_made_once(world: World, monkeypatch: pytest.MonkeyPatch, has_id: bool) -> None:
    slot = await world.open_slot(timedelta(days=2), capacity=100)
    people = [new_id() for _ in range(6)]
    pets = [await world.known_pet(person) for person in people]
    await world.hold(people[0], slot, pets[0])  # from now on nobody has to be asked about the service
    both = zip(people, pets, strict=True)
    calls = [world.hold(person, slot, pet, str(new_id()) if has_id else "") for person, pet in both]
    told = await all_at_once(calls, monkeypatch)
    assert set(told) == ({""} if has_id else {"", "UNAVAILABLE"})
    held = await world.sql("SELECT user_id, count(*) AS holds FROM reservations GROUP BY user_id")
    assert sorted(row.holds for row in held) == [1, 1, 1, 1, 1, 2]
    assert (await world.seats(slot))[0] == len(people) + 1


async def test_a_checkout_that_nobody_can_tell_of_is_not_called_in_progress(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await world.open_slot(timedelta(days=2), capacity=100)
    people = [new_id() for _ in range(6)]
    holds = [(person, await world.hold(person, slot)) for person in people]

    async def check_out(person: Any, hold: Any, request_id: str) -> None:
        request = booking_pb2.CheckoutReservationRequest(
            reservation_id=hold.id,
            lock_id=hold.lock_id,
            payment_method="card",
            payment_token="tok",
            request_id=request_id,
        )
        await world.reservations.CheckoutReservation(request, metadata=world.signed_in(person))

    ids = ["" if number % 2 else str(new_id()) for number in range(len(holds))]
    calls = [check_out(*hold, request_id) for hold, request_id in zip(holds, ids, strict=True)]
    told = await all_at_once(calls, monkeypatch)
    assert {said for said, id_ in zip(told, ids, strict=True) if id_} == {""}
    assert set(told) == {"", "UNAVAILABLE"}
    [sagas] = await world.sql("SELECT count(*) AS begun FROM sagas")
    assert sagas.begun == len(people)
