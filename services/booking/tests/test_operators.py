"""Administrators and the sagas of booking: who may act, once, on what they saw."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.booking.v1 import booking_pb2
from petpro_common.context import Role
from petpro_common.ids import new_id
from services.booking.tests.world import World, reason

REQUESTS: dict[str, Any] = {
    "RetrySaga": booking_pb2.RetrySagaRequest,
    "SkipSaga": booking_pb2.SkipSagaRequest,
    "CompensateSaga": booking_pb2.CompensateSagaRequest,
    "ResolveSaga": booking_pb2.ResolveSagaRequest,
}


@pytest.fixture
async def waiting(world: World) -> Any:
    """A checkout that waits for payment's answer, which nobody gives."""
    budi = new_id()
    held = await world.hold(budi, await world.open_slot())
    request = booking_pb2.CheckoutReservationRequest(
        reservation_id=held.id, lock_id=held.lock_id, payment_method="card", payment_token="tok_1"
    )
    await world.reservations.CheckoutReservation(request, metadata=world.signed_in(budi))
    (saga,) = await world.sql("SELECT id, step, version FROM sagas")
    assert saga.step == "pay"
    return saga


def _asked(name: str, saga: Any, **more: Any) -> Any:
    if name == "ResolveSaga":
        more.setdefault("outcome", "completed")
    more.setdefault("expected_version", saga.version)
    return REQUESTS[name](saga_id=str(saga.id), reason="the bank called", **more)


async def _as_admin(world: World, name: str, request: Any, key: str = "") -> Any:
    metadata = world.signed_in(new_id(), Role.ADMIN) if not key else _admin_with(world, key)
    return (await getattr(world.sagas, name)(request, metadata=metadata)).saga


_ADMIN = new_id()


def _admin_with(world: World, key: str) -> Any:
    return (*world.signed_in(_ADMIN, Role.ADMIN), ("idempotency-key", key))


@pytest.mark.parametrize("name", list(REQUESTS))
async def test_only_administrators_operate(world: World, waiting: Any, name: str) -> None:
    call, request = getattr(world.sagas, name), _asked(name, waiting)
    for role in (Role.CUSTOMER, Role.CLINIC):
        assert await reason(call(request, metadata=world.signed_in(new_id(), role))) == "FORBIDDEN"
    assert await reason(call(request)) == "UNAUTHENTICATED"
    assert await world.sql("SELECT 1 FROM saga_operations") == []


async def test_a_checkout_is_turned_back_and_the_hold_stays(world: World, waiting: Any) -> None:
    foreseen = await _as_admin(world, "CompensateSaga", _asked("CompensateSaga", waiting, dry_run=True))
    assert (foreseen.status, foreseen.step, foreseen.version) == ("compensating", "pay", waiting.version + 1)
    assert await world.sql("SELECT 1 FROM saga_operations") == []

    turned = await _as_admin(world, "CompensateSaga", _asked("CompensateSaga", waiting))
    assert [line.kind for line in turned.timeline] == ["operator", "sent"]
    assert turned.timeline[0].detail.endswith(": the bank called")
    (stored,) = await world.sql("SELECT status, version FROM sagas")
    assert (stored.status, stored.version) == ("compensating", turned.version)
    again = world.sagas.CompensateSaga(
        _asked("CompensateSaga", waiting), metadata=world.signed_in(new_id(), Role.ADMIN)
    )
    assert await reason(again) == "SAGA_VERSION_CONFLICT"


@pytest.mark.parametrize(
    ("name", "more", "refusal"),
    [
        ("SkipSaga", {}, "SAGA_STEP_NOT_SKIPPABLE"),
        ("ResolveSaga", {}, "SAGA_NOT_PARKED"),
        ("RetrySaga", {"expected_version": 99}, "SAGA_VERSION_CONFLICT"),
    ],
)
async def test_refusals_say_why(world: World, waiting: Any, name: str, more: Any, refusal: str) -> None:
    call = getattr(world.sagas, name)(_asked(name, waiting, **more), metadata=world.signed_in(new_id(), Role.ADMIN))
    assert await reason(call) == refusal


async def test_what_is_asked_twice_with_one_key_happens_once(world: World, waiting: Any) -> None:
    request = _asked("RetrySaga", waiting)
    first = await _as_admin(world, "RetrySaga", request, key="retry-1")
    second = await _as_admin(world, "RetrySaga", request, key="retry-1")
    assert first == second
    (act,) = await world.sql("SELECT operator, verb FROM saga_operations")
    assert (act.operator, act.verb) == (str(_ADMIN), "retry")


async def test_a_parked_saga_is_ended_by_an_administrators_word(world: World, waiting: Any) -> None:
    async with world.database.transaction() as tx:
        await tx.execute(text("UPDATE sagas SET status = 'parked', due_at = NULL"))
    ended = await _as_admin(world, "ResolveSaga", _asked("ResolveSaga", waiting, outcome="compensated"))
    assert ended.status == "compensated"
    (stored,) = await world.sql("SELECT status, data FROM sagas")
    assert stored.status == "compensated"
    assert "tok_1" not in str(stored.data)


@pytest.fixture
async def refund_unknown(world: World) -> Any:
    """A customer's cancellation that is parked: nobody knows what became of the refund."""
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    await _cancel(world, booking_id, budi)
    await world.sql("UPDATE sagas SET status = 'parked', due_at = NULL, step = 'submit_refund'")
    (saga,) = await world.sql("SELECT id, version FROM sagas")
    foreseen = _asked("ResolveSaga", saga, outcome="compensated", dry_run=True)
    assert (await _as_admin(world, "ResolveSaga", foreseen)).status == "compensated"
    assert await reason(_cancel(world, booking_id, budi)) == "CANCELLATION_IN_PROGRESS"
    return saga, booking_id, budi


async def _cancel(world: World, booking_id: UUID, user_id: UUID) -> booking_pb2.Booking:
    request = booking_pb2.CancelBookingRequest(booking_id=str(booking_id), reason="Miko is well again")
    return (await world.bookings.CancelBooking(request, metadata=world.signed_in(user_id))).booking


async def test_a_cancellation_that_an_administrator_takes_back_leaves_the_booking_as_it_was(
    world: World, refund_unknown: Any
) -> None:
    saga, booking_id, budi = refund_unknown
    await _as_admin(world, "ResolveSaga", _asked("ResolveSaga", saga, outcome="compensated"))
    [told] = await world.events("booking.cancellation_refused")
    assert (told["booking_id"], told["reason"]) == (str(booking_id), "STOPPED_BY_OPERATOR")
    again = await _cancel(world, booking_id, budi)
    assert again.cancellation_status == booking_pb2.CANCELLATION_STATUS_REQUESTED


async def test_a_cancellation_that_an_administrator_calls_complete_cancels_the_booking(
    world: World, refund_unknown: Any
) -> None:
    saga, booking_id, budi = refund_unknown
    await _as_admin(world, "ResolveSaga", _asked("ResolveSaga", saga, outcome="completed"))
    [told] = await world.events("booking.cancelled")
    assert (told["booking_id"], told["cancellation_reason"]) == (str(booking_id), "Miko is well again")
    assert [tuple(row) for row in await world.sql("SELECT booked_count, status FROM slots")] == [(0, "available")]
    assert await reason(_cancel(world, booking_id, budi)) == "WRONG_BOOKING_STATUS"
