"""Whoever takes seats of several slots, or makes bookings in them, waits for nobody in a circle."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from petpro_booking import bookings, checkout, expiry, holds, store
from petpro_booking.saga import CHECKOUT
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.saga import SagaState, core
from petpro_common.saga.model import Direction, Outcome, Reply
from petpro_common.saga.moves import Move, go_on
from services.booking.tests.conftest import FOR_MANY
from services.booking.tests.world import MOST_UNPAID, World, until_somebody_waits

Connect = Callable[[], Database]


class Clinic:
    """Budi's pet, and slots with many seats, in the order of their ids."""

    def __init__(self, budi: UUID, milo: UUID, slot_ids: Sequence[UUID]) -> None:
        self.budi, self.milo, self.slot_ids = budi, milo, sorted(slot_ids)

    async def hold(self, tx: Transaction, slot_ids: Sequence[UUID]) -> list[UUID]:
        """The reservations, in that order."""
        requests = [holds.HoldRequest(self.budi, slot_id, self.milo, None) for slot_id in slot_ids]
        return [UUID(reply.reservation.id) for reply in await holds.hold(tx, requests, FOR_MANY)]  # type: ignore[union-attr]


@pytest.fixture
async def clinic(world: World) -> Clinic:
    budi = new_id()
    slot_ids = [await world.open_slot(timedelta(days=3, hours=hour), capacity=5_000) for hour in range(6)]
    milo = await world.known_pet(budi)
    await world.hold(budi, slot_ids[0], milo)
    return Clinic(budi, milo, slot_ids)


async def confirm(database: Database, reservation_ids: Sequence[UUID]) -> None:
    async with database.transaction() as tx:
        held = await store.lock_reservations(tx, reservation_ids)
        await bookings.confirm(tx, [bookings.Paid(held[id_], new_id(), new_id()) for id_ in reservation_ids])


async def held_by_a_hold(tx: Transaction, clinic: Clinic) -> None:
    await clinic.hold(tx, clinic.slot_ids)


async def held_by_a_move(tx: Transaction, clinic: Clinic) -> None:
    await store.lock_slots(tx, clinic.slot_ids)


@pytest.mark.parametrize("held_by", [held_by_a_hold, held_by_a_move])
async def test_who_is_booked_waits_for_nobody_who_takes_seats_of_the_same_slots(
    connect: Connect, clinic: Clinic, held_by: Callable[[Transaction, Clinic], Awaitable[None]]
) -> None:
    one, other = connect(), connect()
    async with one.transaction() as tx:
        paid = await clinic.hold(tx, clinic.slot_ids[:2])

    async with one.transaction() as tx:
        await held_by(tx, clinic)
        await asyncio.wait_for(confirm(other, paid), 5)


async def test_those_who_paid_late_take_their_seats_again_in_the_order_of_everybody(
    world: World, connect: Connect, clinic: Clinic
) -> None:
    one, two, three = connect(), connect(), connect()
    first, *_, last = clinic.slot_ids
    async with one.transaction() as tx:
        late = await clinic.hold(tx, [last, first])
    for reservation_id in late:
        await world.run_out(str(reservation_id))
    await expiry.sweep(one)

    sagas = [paid_checkout(id_) for id_ in late]

    async def confirm_late() -> None:
        async with two.transaction() as tx:
            await go_on(tx, sagas, checkout.local_handlers(timedelta(hours=1), MOST_UNPAID), lambda: 1.0)

    async def hold() -> None:
        async with three.transaction() as tx:
            await clinic.hold(tx, [first, last])

    async with one.transaction() as tx:
        await store.take_seat(tx, first)
        holding = asyncio.create_task(hold())
        await until_somebody_waits(world, 1)
        confirming = asyncio.create_task(confirm_late())
        await until_somebody_waits(world, 2)
    await asyncio.gather(holding, confirming)

    assert [saga.state.step for saga in sagas] == ["post_booking_fee"] * 2
    assert len(await world.events("booking.confirmed")) == 2


async def test_seats_are_given_back_in_the_order_of_everybody(world: World, connect: Connect, clinic: Clinic) -> None:
    one, two = connect(), connect()
    first, *_, last = clinic.slot_ids
    async with one.transaction() as tx:
        await clinic.hold(tx, [first, last])

    async def give_back() -> None:
        async with two.transaction() as tx:
            store.free_seats(tx, [last, first])

    async with one.transaction() as tx:
        await store.take_seat(tx, first)
        giving_back = asyncio.create_task(give_back())
        await until_somebody_waits(world, 1)
        await store.take_seat(tx, last)
    await giving_back


def paid_checkout(reservation_id: UUID, **learned: object) -> Move:
    ids = {"reservation_id": str(reservation_id), "booking_id": str(new_id()), "payment_id": str(new_id())}
    state = SagaState(new_id(), CHECKOUT.type, CHECKOUT.version, f"checkout:{reservation_id}:1", {**ids, **learned})
    paid = Reply("pay", Direction.FORWARD, 1, Outcome.SUCCEEDED)
    now = datetime.now(UTC)
    return Move(CHECKOUT, core.advance(CHECKOUT, state._replace(step="pay", attempt=1), paid, now, luck=1.0), now)


async def test_holds_and_confirmations_of_two_replicas_go_on_beside_each_other(
    connect: Connect, clinic: Clinic
) -> None:
    paid: asyncio.Queue[UUID] = asyncio.Queue()

    async def keep_holding(database: Database) -> None:
        for _ in range(60):
            async with database.transaction() as tx:
                made = await clinic.hold(tx, random.choices(clinic.slot_ids, k=8))
            for reservation_id in made:
                paid.put_nowait(reservation_id)

    async def keep_confirming(database: Database) -> None:
        for _ in range(60):
            await confirm(database, [await paid.get() for _ in range(8)])

    replicas = connect(), connect()
    await asyncio.gather(*(work(replica) for replica in replicas for work in (keep_holding, keep_confirming)))
