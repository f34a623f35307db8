"""The last place among what one person has unpaid is had once, whatever comes at once and wherever."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_booking import checkout, expiry, store_unpaid
from petpro_booking.checkout import CheckoutRequest, Tender
from petpro_booking.domain import TooManyUnpaidBookings
from petpro_booking.holds import Terms
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.saga.moves import go_on
from petpro_common.sealing import Sealer
from petpro_common.testing import KeyRing
from services.booking.tests.conftest import HOLD_SECONDS
from services.booking.tests.test_holds_of_one_person import MORE
from services.booking.tests.test_slot_locks import paid_checkout
from services.booking.tests.test_starts_together import CARD, CHECK_OUT, ask, customer, engine_on
from services.booking.tests.world import World, until_somebody_waits

Reply = booking_pb2.CheckoutReservationResponse
Connect = Callable[[], Database]
AT_CLINIC = Tender("pay_at_clinic", "", "")
MORE_BOOKINGS = """
    INSERT INTO bookings (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, reference_code,
        amount, currency, commission_rate, cancellation_policy, starts_at, ends_at, timezone, status)
    SELECT new.id, uuid_extract_timestamp(new.id), coalesce(CAST(:whose AS uuid), gen_random_uuid()), pet_id,
        service_id, slot_id, slot_date, clinic_id, reference_code, amount, currency, commission_rate,
        cancellation_policy, starts_at, ends_at, timezone, :status
    FROM (SELECT uuidv7() AS id FROM generate_series(1, 3000)) AS new, (SELECT * FROM bookings LIMIT 1) AS one
"""
READ = text("""
    SELECT CAST(sum(idx_tup_fetch) AS bigint) AS rows FROM pg_stat_xact_user_tables
    WHERE relname ^@ 'reservations' OR relname ^@ 'bookings'
""")


@pytest.fixture
def for_payment(keys: KeyRing) -> Sealer:
    return Sealer(keys.service_jwks_file, "payment")


async def holds_of(world: World, who: UUID, count: int, day: int = 3) -> list[Any]:
    return [await world.hold(who, await world.open_slot(timedelta(days=day, hours=hour))) for hour in range(count)]


def paying(who: UUID, held: Any, tender: Tender = AT_CLINIC) -> CheckoutRequest:
    return CheckoutRequest(caller=customer(who), about=UUID(held.id), claim=None, lock_id=held.lock_id, tender=tender)


async def start(database: Database, for_payment: Sealer, requests: list[CheckoutRequest], most: int) -> list[Any]:
    async with database.transaction() as tx:
        return list(await checkout.start(tx, engine_on(database), requests, for_payment, most))


@pytest.mark.parametrize("number", [1, 2], ids=["one replica", "two replicas"])
async def test_who_checks_out_many_times_at_once_gets_so_many(
    world: World, connect: Connect, for_payment: Sealer, number: int
) -> None:
    terms = Terms(HOLD_SECONDS, most=10, most_unpaid=3)
    replicas = [
        ReservationServicer(database, None, engine_on(database), terms, for_payment)  # type: ignore[arg-type]
        for database in (connect() for _ in range(number))
    ]
    for day in range(3, 9):
        budi, citra = new_id(), new_id()
        wanted = [(who, held) for who in (budi, citra) for held in await holds_of(world, who, 8, day)]
        random.shuffle(wanted)
        asked = [
            ask(
                replicas[n % number],
                CHECK_OUT,
                who,
                held.id,
                booking_pb2.CheckoutReservationRequest(
                    reservation_id=held.id, lock_id=held.lock_id, payment_method="pay_at_clinic"
                ),
            )
            for n, (who, held) in enumerate(wanted)
        ]
        outcomes = await asyncio.gather(*asked)

        for person in (budi, citra):
            theirs = [type(outcome) for (who, _), outcome in zip(wanted, outcomes, strict=True) if who == person]
            assert sorted(theirs, key=str) == sorted([Reply] * 3 + [TooManyUnpaidBookings] * 5, key=str)


@pytest.mark.parametrize("commits", [True, False])
async def test_the_last_place_is_waited_for(world: World, connect: Connect, for_payment: Sealer, commits: bool) -> None:
    budi, one, other = new_id(), connect(), connect()
    first, second = await holds_of(world, budi, 2)
    with suppress(LookupError):
        async with one.transaction() as tx:
            await checkout.start(tx, engine_on(one), [paying(budi, first)], for_payment, 1)
            later = asyncio.create_task(start(other, for_payment, [paying(budi, second)], 1))
            await until_somebody_waits(world, 1)
            if not commits:
                raise LookupError
    [outcome] = await later
    assert type(outcome) is (TooManyUnpaidBookings if commits else Reply)


@pytest.mark.parametrize("commits", [True, False])
async def test_who_is_confirmed_late_waits_for_the_last_place(
    world: World, connect: Connect, for_payment: Sealer, commits: bool
) -> None:
    budi, one, other = new_id(), connect(), connect()
    late, new = await holds_of(world, budi, 2)
    await world.run_out(late.id)
    await expiry.sweep(world.database)
    handlers = checkout.local_handlers(timedelta(hours=1), 1)

    async def confirm_late() -> None:
        async with other.transaction() as tx:
            await go_on(tx, [paid_checkout(UUID(late.id), at_clinic=True)], handlers, lambda: 1.0)

    with suppress(LookupError):
        async with one.transaction() as tx:
            await checkout.start(tx, engine_on(one), [paying(budi, new)], for_payment, 1)
            confirming = asyncio.create_task(confirm_late())
            await until_somebody_waits(world, 1)
            if not commits:
                raise LookupError
    await confirming
    assert len(await world.sql("SELECT FROM bookings")) == (0 if commits else 1)


async def test_those_that_share_a_transaction_are_counted_one_after_the_other(
    world: World, for_payment: Sealer
) -> None:
    budi, citra = new_id(), new_id()
    mine, theirs = await holds_of(world, budi, 4), await holds_of(world, citra, 1)
    requests = [
        paying(budi, mine[0]),
        paying(budi, mine[1], CARD),
        paying(citra, theirs[0]),
        paying(budi, mine[2]),
        paying(budi, mine[3]),
    ]
    outcomes = await start(world.database, for_payment, requests, 2)
    assert [type(each) for each in outcomes] == [Reply, Reply, Reply, Reply, TooManyUnpaidBookings]
    in_days = outcomes[-1].retry_after / timedelta(days=1)
    assert 2.99 < in_days <= 3, "when the first of them begins"
    assert len(await world.sql("SELECT FROM sagas")) == 4


async def test_the_same_request_is_answered_the_same_at_the_bound(
    world: World, connect: Connect, for_payment: Sealer
) -> None:
    budi, database = new_id(), connect()
    terms = Terms(HOLD_SECONDS, most=10, most_unpaid=1)
    replica = ReservationServicer(database, None, engine_on(database), terms, for_payment)  # type: ignore[arg-type]
    first, second = await holds_of(world, budi, 2)

    async def pay(held: Any, key: str) -> Any:
        wanted = booking_pb2.CheckoutReservationRequest(
            reservation_id=held.id, lock_id=held.lock_id, payment_method="pay_at_clinic"
        )
        return await ask(replica, CHECK_OUT, budi, key, wanted)

    reply = await pay(first, "first")
    assert type(reply) is Reply
    assert type(await pay(second, "second")) is TooManyUnpaidBookings
    assert await pay(first, "first") == reply
    await world.sql("UPDATE reservations SET checkout_status = 'failed' WHERE id = :id", id=UUID(first.id))
    assert type(await pay(second, "second")) is Reply, "what was refused may be asked again"
    assert await pay(first, "first") == reply


async def test_whoever_pays_now_waits_for_nobody_and_neither_does_who_holds(
    world: World, connect: Connect, for_payment: Sealer
) -> None:
    budi, one, other = new_id(), connect(), connect()
    first, second, third = await holds_of(world, budi, 3)
    async with one.transaction() as tx:
        await store_unpaid.seconds_to_begin(tx, [budi], 1)
        [paid] = await asyncio.wait_for(start(other, for_payment, [paying(budi, first, CARD)], 1), 5)
        await asyncio.wait_for(world.hold(budi, await world.open_slot()), 5)
        at_clinic = asyncio.create_task(start(other, for_payment, [paying(budi, second)], 1))
        await until_somebody_waits(world, 1)
    assert (type(paid), [type(each) for each in await at_clinic]) == (Reply, [Reply])
    assert [type(each) for each in await start(one, for_payment, [paying(budi, third)], 1)] == [TooManyUnpaidBookings]


async def test_neither_what_is_over_nor_what_others_have_is_read(world: World, connect: Connect) -> None:
    """By a plan that was made while nobody had anything to come, and nothing was on its way."""
    budi, slot_id, database = new_id(), await world.open_slot(capacity=9), connect()

    async def read(to_come: int) -> int:
        async with database.transaction() as tx:
            before = (await tx.execute(READ)).scalar_one() or 0
            found = await store_unpaid.seconds_to_begin(tx, [budi, new_id()], 10)
            assert len(found[budi]) == to_come
            return int((await tx.execute(READ)).scalar_one() or 0) - before

    booking_id = await world.book(budi, slot_id, is_paid=False)
    await world.sql("UPDATE bookings SET status = 'completed'")
    for whose in (budi, None):
        await world.sql(MORE, whose=whose, status="cancelled")
        await world.sql(MORE_BOOKINGS, whose=whose, status="completed")
    async with world.database.session() as session:
        await session.execute(text("VACUUM ANALYZE"))
    assert await read(to_come=0) == 0
    await world.sql(MORE, whose=None, status="pending")
    await world.sql(MORE_BOOKINGS, whose=None, status="confirmed")
    await world.sql("UPDATE bookings SET status = 'confirmed' WHERE id = :id", id=booking_id)
    assert 0 < await read(to_come=1) < 10
