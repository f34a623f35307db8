"""Cancellations and checkouts that are asked for at the same time share a transaction, and each has its own outcome."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import DatabaseError

from petpro.booking.v1 import booking_pb2
from petpro_booking import cancellation, checkout
from petpro_booking.domain import (
    BookingHasBegun,
    BookingNotFound,
    CancellationInProgress,
    CheckoutInProgress,
    ReservationNotFound,
    WrongLockId,
)
from petpro_booking.saga import SAGAS
from petpro_booking.servicer_bookings import BookingServicer
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_common.context import CallContext, Caller, Role, within
from petpro_common.db import Database
from petpro_common.errors import Forbidden, PetProError, RequestIdReused
from petpro_common.idempotency import Claim
from petpro_common.ids import new_id
from petpro_common.saga import SagaEngine
from petpro_common.sealing import Sealer
from petpro_common.testing import KeyRing
from services.booking.tests.conftest import TERMS
from services.booking.tests.world import MOST_UNPAID, World

CANCEL = "/petpro.booking.v1.BookingService/CancelBooking"
CHECK_OUT = "/petpro.booking.v1.ReservationService/CheckoutReservation"
CARD = checkout.Tender("card", "tok_1", "")
Cancelled, Checked = booking_pb2.CancelBookingResponse, booking_pb2.CheckoutReservationResponse


def engine_on(database: Database) -> SagaEngine:
    steps = {**checkout.local_handlers(timedelta(hours=1), MOST_UNPAID), **cancellation.local_handlers()}
    return SagaEngine(database, SAGAS, steps)


def customer(user_id: UUID) -> Caller:
    return Caller(str(user_id), Role.CUSTOMER)


async def cancel(world: World, requests: list[cancellation.CancellationRequest]) -> list[Any]:
    async with world.database.transaction() as tx:
        return list(await cancellation.request(tx, engine_on(world.database), requests))


async def check_out(world: World, keys: KeyRing, requests: list[checkout.CheckoutRequest]) -> list[Any]:
    async with world.database.transaction() as tx:
        for_payment = Sealer(keys.service_jwks_file, "payment")
        return list(await checkout.start(tx, engine_on(world.database), requests, for_payment, MOST_UNPAID))


def cancelling(caller: Caller, booking_id: UUID, claim: Claim | None = None) -> cancellation.CancellationRequest:
    return cancellation.CancellationRequest(caller=caller, about=booking_id, claim=claim, reason="Miko is well again")


async def test_each_cancellation_has_its_own_outcome(world: World) -> None:
    budi, ani = new_id(), Caller(str(world.ani), Role.CLINIC)
    mine, late, again, clinics, others, earlier = [
        await world.book(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(6)
    ]
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp() WHERE id = :id", id=late)
    this, that = (Claim(str(budi), CANCEL, "earlier", digest) for digest in (b"this", b"that"))
    await cancel(world, [cancelling(customer(budi), again)])
    [before] = await cancel(world, [cancelling(customer(budi), earlier, this)])

    outcomes = await cancel(
        world,
        [
            cancelling(customer(budi), mine, Claim(str(budi), CANCEL, "new", b"this")),
            cancelling(customer(budi), late),
            cancelling(customer(budi), again),
            cancelling(ani, clinics),
            cancelling(customer(new_id()), others),
            cancelling(customer(budi), new_id()),
            cancelling(customer(budi), earlier, this),
        ],
    )
    [reused] = await cancel(world, [cancelling(customer(budi), others, that)])

    refused: list[type] = [BookingHasBegun, CancellationInProgress]
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Cancelled, *refused, Cancelled, BookingNotFound, BookingNotFound, Cancelled]
    assert outcomes[0].booking.id == str(mine)
    assert outcomes[0].booking.cancellation_status == booking_pb2.CANCELLATION_STATUS_REQUESTED
    assert outcomes[3].booking.status == booking_pb2.BOOKING_STATUS_CANCELLED  # a clinic's goes through at once
    assert outcomes[6] == before
    assert isinstance(reused, RequestIdReused)
    begun = await world.sql("SELECT business_key FROM sagas ORDER BY id")
    assert sorted(row.business_key for row in begun) == sorted(
        f"cancellation:{booking_id}:1" for booking_id in (mine, again, clinics, earlier)
    )


async def test_each_checkout_has_its_own_outcome(world: World, keys: KeyRing) -> None:
    budi, siti = new_id(), new_id()
    held = [await world.hold(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(4)]

    def paying(number: int, caller: Caller) -> checkout.CheckoutRequest:
        claim = Claim(caller.id, CHECK_OUT, str(number), b"this")
        one = held[number]
        return checkout.CheckoutRequest(
            caller=caller, about=UUID(one.id), claim=claim, lock_id=one.lock_id, tender=CARD
        )

    [before] = await check_out(world, keys, [paying(0, customer(budi))])
    requests = [
        paying(0, customer(budi)),
        paying(1, customer(budi)),
        replace(paying(2, customer(budi)), lock_id="guessed"),
        paying(3, customer(siti)),
    ]
    outcomes = await check_out(world, keys, requests)
    service = Caller("catalog", Role.SERVICE)
    as_others = [replace(requests[0], claim=None), replace(requests[1], claim=None, caller=service)]

    kinds: list[type] = [Checked, Checked, WrongLockId, ReservationNotFound]
    assert [type(one) for one in outcomes] == kinds
    assert outcomes[0] == before
    assert outcomes[1].reservation.checkout_status == booking_pb2.CHECKOUT_STATUS_AWAITING_PAYMENT
    refused = [type(one) for one in await check_out(world, keys, as_others)]
    assert refused == [CheckoutInProgress, Forbidden]
    assert len(await world.sql("SELECT FROM sagas")) == 2


async def ask(servicer: Any, method: str, user_id: UUID, key: str, request: Any) -> Any:
    """Asks one replica, as a call; the reply or the error."""
    rpc = getattr(servicer, method.rpartition("/")[2])
    with within(CallContext(method, "a call", key, customer(user_id))):
        try:
            return await rpc(request, None)
        except (PetProError, DatabaseError) as refused:
            return refused


async def test_one_request_at_two_replicas_at_once_cancels_once(world: World, connect: Callable[[], Database]) -> None:
    budi = new_id()
    databases = [connect(), connect()]
    replicas = [BookingServicer(database, None, engine_on(database)) for database in databases]  # type: ignore[arg-type]
    booked = [await world.book(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(8)]

    asked = [
        ask(
            replicas[n % 2], CANCEL, budi, str(booking_id), booking_pb2.CancelBookingRequest(booking_id=str(booking_id))
        )
        for booking_id in booked
        for n in range(4)
    ]
    outcomes = await asyncio.gather(*asked)

    for number, booking_id in enumerate(booked):
        [first, *others] = outcomes[4 * number : 4 * number + 4]
        assert first.booking.id == str(booking_id), first
        assert others == [first] * 3
    assert len(await world.sql("SELECT FROM sagas")) == len(booked)


async def test_one_key_for_two_bookings_at_once_cancels_one_of_them(
    world: World, connect: Callable[[], Database]
) -> None:
    budi = new_id()
    database = connect()
    replica = BookingServicer(database, None, engine_on(database))  # type: ignore[arg-type]
    booked = [await world.book(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(5)]

    keys = ["first", "same", "same", "same", "last"]
    outcomes = await asyncio.gather(*(
        ask(replica, CANCEL, budi, key, booking_pb2.CancelBookingRequest(booking_id=str(booking_id)))
        for key, booking_id in zip(keys, booked, strict=True)
    ))  # fmt: skip

    assert [type(outcome) for outcome in outcomes].count(RequestIdReused) == 2
    assert [type(outcomes[n]) for n in (0, 4)] == [Cancelled, Cancelled]
    assert len(await world.sql("SELECT FROM sagas")) == 3


async def test_one_checkout_at_two_replicas_at_once_begins_once(
    world: World, keys: KeyRing, connect: Callable[[], Database]
) -> None:
    budi = new_id()
    sealer = Sealer(keys.service_jwks_file, "payment")
    replicas = [
        ReservationServicer(database, None, engine_on(database), TERMS, sealer)  # type: ignore[arg-type]
        for database in (connect(), connect())
    ]
    held = [await world.hold(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(8)]

    asked = []
    for one in held:
        request = booking_pb2.CheckoutReservationRequest(
            reservation_id=one.id, lock_id=one.lock_id, payment_method="card", payment_token="tok_1"
        )
        asked += [ask(replicas[n % 2], CHECK_OUT, budi, one.id, request) for n in range(4)]
    outcomes = await asyncio.gather(*asked)

    for number, one in enumerate(held):
        [first, *others] = outcomes[4 * number : 4 * number + 4]
        assert first.reservation.id == one.id, first
        assert others == [first] * 3
    assert len(await world.sql("SELECT FROM sagas")) == len(held)


@pytest.mark.parametrize("reason", ["\x00", "fine"])
async def test_a_cancellation_that_the_database_refuses_fails_no_other(
    world: World, connect: Callable[[], Database], reason: str
) -> None:
    """Text with a zero byte is no JSON that PostgreSQL takes."""
    budi = new_id()
    database = connect()
    replica = BookingServicer(database, None, engine_on(database))  # type: ignore[arg-type]
    booked = [await world.book(budi, await world.open_slot(timedelta(days=3, hours=hour))) for hour in range(4)]
    reasons = ["well", "well", reason, "well"]
    requests = [
        booking_pb2.CancelBookingRequest(booking_id=str(booking_id), reason=why)
        for booking_id, why in zip(booked, reasons, strict=True)
    ]

    outcomes = await asyncio.gather(*(ask(replica, CANCEL, budi, "", request) for request in requests))

    are_done = [isinstance(outcome, Cancelled) for outcome in outcomes]
    assert are_done == [True, True, reason == "fine", True]
