"""One person holds so many seats at once and no more, however they ask; what ends frees the place, whichever way."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import approvals, erasure, expiry, holds
from petpro_booking.domain import SlotFull, TooManyHolds
from petpro_booking.holds import HoldRequest, Terms
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_common.db import Database
from petpro_common.idempotency import Claim
from petpro_common.ids import new_id
from services.booking.tests.conftest import TERMS
from services.booking.tests.desk import Desk
from services.booking.tests.test_erasure import erased
from services.booking.tests.test_holds_together import METHOD, ask
from services.booking.tests.test_starts_together import engine_on
from services.booking.tests.world import World, reason, until_somebody_waits

Reply = booking_pb2.CreateReservationResponse
Connect = Callable[[], Database]
FEW = replace(TERMS, most=3)
MORE = """
    INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
        lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at, status)
    SELECT new.id, uuid_extract_timestamp(new.id), coalesce(CAST(:whose AS uuid), gen_random_uuid()), pet_id,
        service_id, slot_id, slot_date, clinic_id, starts_at, lock_id, price, currency, commission_rate,
        cancellation_policy, requires_approval, expires_at, :status
    FROM (SELECT uuidv7() AS id FROM generate_series(1, 3000)) AS new, (SELECT * FROM reservations LIMIT 1) AS one
"""
READ = text(
    "SELECT CAST(sum(idx_tup_fetch) AS bigint) AS rows FROM pg_stat_xact_user_tables WHERE relname ^@ 'reservations'"
)


async def held_to_the_last(world: World, who: UUID) -> list[Any]:
    """As many holds as one person may have."""
    slot_id = await world.open_slot(timedelta(days=20), capacity=100)
    return [await world.hold(who, slot_id) for _ in range(TERMS.most)]


async def test_beyond_so_many_it_is_refused_with_when_to_come_again_and_nothing_is_taken(world: World) -> None:
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot()
    first, *_ = await held_to_the_last(world, budi)
    runs_out = "UPDATE reservations SET expires_at = clock_timestamp() + interval '90 s' WHERE id = :id"
    await world.sql("UPDATE reservations SET expires_at = expires_at + interval '1 hour'")
    await world.sql(runs_out, id=UUID(first.id))

    with pytest.raises(aio.AioRpcError) as refused:
        await world.hold(budi, slot_id)

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in rpc_status.from_call(refused.value).details:  # type: ignore[arg-type]
        assert detail.Unpack(info) or detail.Unpack(retry)
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_MANY_HOLDS", "booking.petpro", {"most": "10"})
    assert 80 <= retry.retry_delay.seconds <= 90
    assert await world.seats(slot_id) == (0, "available")
    assert len(await world.events("reservation.created")) == TERMS.most
    await world.hold(citra, slot_id)
    assert await reason(world.hold(budi, slot_id)) == "SLOT_FULL", "to give a seat back would not help"


async def cancelled(desk: Desk, held: Any) -> None:
    request = booking_pb2.CancelReservationRequest(reservation_id=held.id)
    await desk.world.reservations.CancelReservation(request, metadata=desk.world.signed_in(desk.budi))


async def run_out_and_not_swept_yet(desk: Desk, held: Any) -> None:
    await desk.world.run_out(held.id)


async def run_out_and_swept(desk: Desk, held: Any) -> None:
    await desk.world.run_out(held.id)
    assert await expiry.sweep(desk.world.database) == 1


async def paid(desk: Desk, held: Any) -> None:
    await desk.pay(held)
    await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_CONFIRMED)


async def paid_at_the_clinic(desk: Desk, held: Any) -> None:
    await desk.pay(held, method="pay_at_clinic")
    await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_CONFIRMED)


async def declined_by_the_clinic(desk: Desk, held: Any) -> None:
    """Until then it counts: a seat is kept from others as long as a clinic takes to answer."""
    await desk.pay(held)
    await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_AWAITING_APPROVAL)
    assert await reason(desk.hold(await desk.world.open_slot())) == "TOO_MANY_HOLDS"
    request = booking_pb2.DeclineReservationRequest(reservation_id=held.id)
    await desk.world.reservations.DeclineReservation(request, metadata=desk.world.as_ani)
    failed = await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_FAILED)
    assert failed.failure_reason == approvals.DECLINED_BY_CLINIC


async def not_paid_and_run_out(desk: Desk, held: Any) -> None:
    """A declined card ends no hold: its customer may pay otherwise, so it counts on."""
    desk.payment.refuse["TakePayment"] = "CARD_DECLINED"
    await desk.pay(held)
    await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_FAILED)
    assert await reason(desk.hold(await desk.world.open_slot())) == "TOO_MANY_HOLDS"
    await desk.world.run_out(held.id)


async def of_somebody_erased(desk: Desk, held: Any) -> None:
    """All of them: who was erased has no pet left, but what they held is free."""
    await erased(desk.world, desk.budi)
    await erasure.end_all(desk.world.database, engine_on(desk.world.database))


@pytest.mark.parametrize(
    "end",
    [
        cancelled,
        run_out_and_not_swept_yet,
        run_out_and_swept,
        paid,
        paid_at_the_clinic,
        declined_by_the_clinic,
        not_paid_and_run_out,
        of_somebody_erased,
    ],
)
async def test_a_hold_that_ends_frees_its_place(desk: Desk, end: Callable[[Desk, Any], Awaitable[None]]) -> None:
    world = desk.world
    world.catalog.services[str(world.service_id)].requires_approval = end is declined_by_the_clinic
    held = await held_to_the_last(world, desk.budi)
    assert await reason(desk.hold(await world.open_slot())) == "TOO_MANY_HOLDS"

    await end(desk, held[4])

    await desk.hold(await world.open_slot())
    if end is not of_somebody_erased:
        assert await reason(desk.hold(await world.open_slot())) == "TOO_MANY_HOLDS"


async def test_the_same_request_is_answered_the_same_at_the_bound_and_beyond(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot(capacity=5)
    milo = await world.known_pet(budi)
    first = await world.hold(budi, slot_id, milo, "first")
    await held_to_the_last(world, citra := new_id())
    slots = [await world.open_slot(timedelta(days=5, hours=hour)) for hour in range(TERMS.most - 1)]
    for slot in slots:
        await world.hold(budi, slot, milo)
    assert await reason(world.hold(budi, slot_id, milo, "refused")) == "TOO_MANY_HOLDS"

    assert await world.hold(budi, slot_id, milo, "first") == first
    assert await reason(world.hold(budi, slots[0], milo, "first")) == "REQUEST_ID_REUSED"
    assert await world.seats(slot_id) == (1, "available")
    await world.run_out(first.id)
    assert (await world.hold(budi, slot_id, milo, "refused")).id != first.id, "what was refused may be asked again"
    assert await reason(world.hold(citra, slot_id)) == "TOO_MANY_HOLDS"


@pytest.fixture
def replicas(connect: Connect) -> list[ReservationServicer]:
    """Two with connections of their own; neither copies nor sagas are needed here."""
    return [ReservationServicer(connect(), None, None, FEW, None) for _ in range(2)]  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 2], ids=["one replica", "two replicas"])
async def test_who_asks_many_times_at_once_gets_so_many(
    world: World, replicas: list[ReservationServicer], number: int
) -> None:
    await world.hold(new_id(), await world.open_slot())
    for day in range(3, 13):
        slots = [await world.open_slot(timedelta(days=day, hours=hour), capacity=2) for hour in range(6)]
        budi, others = new_id(), [new_id() for _ in range(4)]
        pets = {who: await world.known_pet(who) for who in (budi, *others)}
        requests = [(budi, slot) for slot in slots * 2] + list(zip(others, slots, strict=False))
        random.shuffle(requests)

        asked = (ask(replicas[n % number], who, slot, pets[who]) for n, (who, slot) in enumerate(requests))
        outcomes = await asyncio.gather(*asked)

        mine = [outcome for (who, _), outcome in zip(requests, outcomes, strict=True) if who == budi]
        assert [type(outcome) for outcome in mine].count(Reply) == FEW.most
        assert {type(outcome) for outcome in mine} <= {Reply, TooManyHolds, SlotFull}
        [found] = await world.sql("SELECT count(*) FROM reservations WHERE user_id = :id", id=budi)
        assert found[0] == FEW.most


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("size", [2, 1], ids=["together", "alone"])
async def test_the_last_place_is_waited_for(world: World, connect: Connect, size: int, commits: bool) -> None:
    budi, citra = new_id(), new_id()
    pets = {who: await world.known_pet(who) for who in (budi, citra)}
    slots = [await world.open_slot(timedelta(days=day), capacity=9) for day in range(3, 6)]
    await world.hold(budi, slots[0], pets[budi])
    one, other, last = connect(), connect(), replace(TERMS, most=2)
    requests = [HoldRequest(budi, slots[1], pets[budi], None), HoldRequest(citra, slots[1], pets[citra], None)][:size]

    async def come_second() -> list[Any]:
        async with other.transaction() as tx:
            return list(await holds.hold(tx, requests, last))

    with suppress(LookupError):
        async with one.transaction() as tx:  # in another slot: they have no lock of one in common
            await holds.hold(tx, [HoldRequest(budi, slots[2], pets[budi], None)], last)
            second = asyncio.create_task(come_second())
            await until_somebody_waits(world, 1)
            if not commits:
                raise LookupError
    mine, *theirs = await second

    assert type(mine) is (TooManyHolds if commits else Reply)
    assert [type(outcome) for outcome in theirs] == [Reply] * (size - 1)
    assert await world.seats(slots[1]) == (size - commits, "available")


async def test_a_copy_that_waits_for_the_last_place_of_the_same_request_gets_its_reply(
    world: World, connect: Connect
) -> None:
    budi, slot_id = new_id(), await world.open_slot(capacity=9)
    milo, one, other, alone = await world.known_pet(budi), connect(), connect(), replace(TERMS, most=1)
    await world.hold(new_id(), slot_id)
    request = HoldRequest(budi, slot_id, milo, Claim(str(budi), METHOD, "the same", b"this"))

    async def copy() -> list[Any]:
        async with other.transaction() as tx:
            return list(await holds.hold(tx, [request], alone))

    async with one.transaction() as tx:
        [reply] = await holds.hold(tx, [request], alone)
        copied = asyncio.create_task(copy())
        await until_somebody_waits(world, 1)

    assert await copied == [reply]
    assert await world.seats(slot_id) == (2, "available")


async def test_two_replicas_that_hold_for_the_same_people_in_any_order_wait_for_nobody_in_a_circle(
    world: World, connect: Connect
) -> None:
    people = [new_id() for _ in range(6)]
    pets = {who: await world.known_pet(who) for who in people}
    slots = [await world.open_slot(timedelta(days=3, hours=hour), capacity=5_000) for hour in range(6)]
    await world.hold(new_id(), slots[0])

    async def keep_holding(database: Database) -> int:
        held = 0
        for _ in range(60):
            requests = [
                HoldRequest(who, slot, pets[who], None)
                for who, slot in zip(random.sample(people, 6), random.choices(slots, k=6), strict=True)
            ]
            async with database.transaction() as tx:
                held += [type(outcome) for outcome in await holds.hold(tx, requests, TERMS)].count(Reply)
        return held

    held = await asyncio.gather(*(keep_holding(connect()) for _ in range(3)))

    assert sum(held) == len(people) * TERMS.most


@pytest.mark.parametrize("size", [2, 1], ids=["together", "alone"])
async def test_neither_what_somebody_held_before_nor_what_others_hold_is_read(
    world: World, connect: Connect, size: int
) -> None:
    """By a plan that was made while nobody held anything, and which would find all who do by any index alike."""
    budi, citra, slot_id = new_id(), new_id(), await world.open_slot(capacity=100)
    requests = [HoldRequest(who, slot_id, await world.known_pet(who), None) for who in (budi, citra)][:size]
    await world.hold(budi, slot_id)
    await world.sql("UPDATE reservations SET status = 'cancelled'")
    await world.sql(MORE, whose=budi, status="cancelled")
    await world.sql(MORE, whose=None, status="cancelled")
    async with world.database.session() as session:
        await session.execute(text("VACUUM ANALYZE"))
    database, at_most = connect(), [TERMS, replace(TERMS, most=1)]

    async def read(terms: Terms) -> int:
        async with database.transaction() as tx:
            before = (await tx.execute(READ)).scalar_one() or 0
            await holds.hold(tx, requests, terms)
            return int((await tx.execute(READ)).scalar_one() - before)

    assert [await read(terms) for terms in at_most]
    await world.sql(MORE, whose=None, status="pending")
    assert max([await read(terms) for terms in at_most]) < 10 * size
