"""Holds of three seconds on a stack of their own: what happens at their end, and to money that comes after it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from devstack.api import Json
from devstack.running import RunningStack
from devstack.testing import StartStack
from tests import invariants
from tests.e2e.events import Published, published
from tests.world import Clinic, Customer, World, eventually, open_world

QUICK = {"booking": {"PETPRO_BOOKING_HOLD_SECONDS": "3", "PETPRO_BOOKING_EXPIRY_CHECK_SECONDS": "0.2"}}
SECONDS_BEFORE_THE_END = (0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02, 0.0)
AS_DOCUMENTED = {
    "reservation.created": {"reservation_id", "user_id", "pet_id", "service_id", "slot_id", "expires_at"},
    "reservation.expired": {"reservation_id", "user_id", "service_id", "slot_id"},
    "booking.confirmed": {
        *("booking_id", "reference_code", "user_id", "pet_id", "clinic_id", "service_id"),
        *("slot_date", "slot_time", "amount"),
    },
    "booking.cancelled": {
        *("booking_id", "user_id", "clinic_id", "cancellation_reason", "refund_amount", "refund_status")
    },
    "booking.completed": {"booking_id", "user_id", "clinic_id", "service_id", "completed_at"},
}
MAY_BE_ADDED = {"currency", "event_type"}


@pytest.fixture(scope="module")
def quick_stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(env=QUICK)


@pytest.fixture
async def world(quick_stack: RunningStack) -> AsyncIterator[World]:
    async with open_world(quick_stack) as opened:
        yield opened
        await invariants.hold(opened)


async def _meet(world: World) -> tuple[Clinic, Customer]:
    clinic, person = await asyncio.gather(world.clinic(), world.customer())
    return clinic, person


async def _expired(world: World, who: Customer, reservation: Json) -> Json:
    async def look() -> Json | None:
        now = await world.reservation(who, reservation["id"])
        return now if now["status"] == "RESERVATION_STATUS_EXPIRED" else None

    return await eventually("the hold to run out", look)


async def _intent_of(world: World, who: Customer, reservation: Json) -> str:
    """The provider's id of the payment, once the provider has it and payment knows."""
    payment_id = (await world.reservation(who, reservation["id"]))["payment_id"]

    async def look() -> str | None:
        found = await world.rows("payment", "SELECT external_reference FROM payments WHERE id = %(id)s", id=payment_id)
        return found[0]["external_reference"] if found else None

    return str(await eventually("the payment to be with the provider", look))


async def _pay(world: World, intent: str, *, late: bool = False) -> Json:
    answer = await world.provider.post(f"/v1/test/payment_intents/{intent}/pay", json={"late": late})
    return dict(answer.json())


async def test_a_hold_that_runs_out_frees_the_seat_and_cannot_be_paid(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    assert await world.seats_taken(clinic, clinic.slot()) == 1
    await _expired(world, person, reservation)
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    card = {"lock_id": reservation["lock_id"], "payment_method": "card", "payment_token": "tok_success"}
    answer = await person.api.send("POST", f"/v1/reservations/{reservation['id']}:checkout", json=card)
    assert "RESERVATION_EXPIRED" in answer.text


async def test_money_that_comes_after_the_seat_is_gone_goes_back_in_full(world: World) -> None:
    (clinic, late), quick = await _meet(world), await world.customer()
    reservation = await world.hold(late, clinic.slot())
    await world.checkout(late, reservation, "tok_requires_action")
    intent = await _intent_of(world, late, reservation)
    await _expired(world, late, reservation)
    failed = await world.checkout_ends(late, reservation, "FAILED")
    assert failed["failure_reason"] == "PAYMENT_TIMED_OUT"
    other = await world.hold(quick, clinic.slot())
    await _pay(world, intent, late=True)

    async def went_back() -> list[Json] | None:
        refunds = await world.refunds_at_provider(intent)
        return refunds if [refund["status"] for refund in refunds] == ["succeeded"] else None

    [refund] = await eventually("the money to go back", went_back)
    assert refund["amount"] == reservation["price"]["amount"]
    assert await world.seats_taken(clinic, clinic.slot()) == 1
    await quick.api.post(f"/v1/reservations/{other['id']}:cancel")


@pytest.mark.parametrize("seat_is_gone", [True, False])
async def test_paid_in_time_but_told_too_late(world: World, seat_is_gone: bool) -> None:
    """The broker is away while the customer pays, and comes back when the hold has run out."""
    (clinic, person), quick = await _meet(world), await world.customer()
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation, "tok_requires_action")
    intent = await _intent_of(world, person, reservation)
    await world.stack.kill("nats")
    assert (await _pay(world, intent))["status"] == "succeeded"
    await _expired(world, person, reservation)
    if seat_is_gone:
        other = await world.hold(quick, clinic.slot())
        longer = "UPDATE reservations SET expires_at = now() + interval '10 minutes' WHERE id = %(id)s"
        await world.rows("booking", longer, id=other["id"])
    await world.stack.start_part("nats")
    if seat_is_gone:
        failed = await world.checkout_ends(person, reservation, "FAILED")
        assert failed["failure_reason"] == "SLOT_FULL"
        refunds = await eventually("the money to go back", lambda: world.refunds_at_provider(intent))
        assert [refund["amount"] for refund in refunds] == [reservation["price"]["amount"]]
    else:
        confirmed = await world.checkout_ends(person, reservation, "CONFIRMED")
        assert confirmed["status"] == "RESERVATION_STATUS_CONFIRMED"
        assert await world.seats_taken(clinic, clinic.slot()) == 1


async def test_between_the_end_of_a_hold_and_its_payment_there_is_one_winner(world: World) -> None:
    clinic, person = await _meet(world)

    async def pay_at_the_last_moment(number: int, before: float) -> str:
        reservation = await world.hold(person, clinic.slot(number))
        await world.checkout(person, reservation, "tok_requires_action")
        intent = await _intent_of(world, person, reservation)
        ends = datetime.fromisoformat(reservation["expires_at"])
        await asyncio.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() - before))
        await _pay(world, intent)

        async def decided() -> Json | None:
            now = await world.reservation(person, reservation["id"])
            ended = ("CHECKOUT_STATUS_CONFIRMED", "CHECKOUT_STATUS_FAILED")
            pending = now["status"] == "RESERVATION_STATUS_PENDING"
            return now if now["checkout_status"] in ended and not pending else None

        outcome = await eventually("the race to be decided", decided)
        won = outcome["checkout_status"] == "CHECKOUT_STATUS_CONFIRMED"
        assert (outcome["status"] == "RESERVATION_STATUS_CONFIRMED") == won
        bookings = await world.rows(
            "booking", "SELECT status FROM bookings WHERE reservation_id = %(id)s", id=reservation["id"]
        )
        assert len(bookings) == won
        assert await world.seats_taken(clinic, clinic.slot(number)) == won
        return "booked" if won else "expired"

    outcomes = await asyncio.gather(
        *(pay_at_the_last_moment(number, before) for number, before in enumerate(SECONDS_BEFORE_THE_END))
    )
    assert {*outcomes} <= {"booked", "expired"}


async def test_the_events_are_published_as_documented(world: World) -> None:
    clinic, person = await _meet(world)
    lost = await world.hold(person, clinic.slot(2))
    visit, called_off = await asyncio.gather(
        world.book(person, clinic.slot(0)), world.book(person, clinic.slot(1), "tok_success")
    )
    await world.cancel(person.api, called_off["id"])
    await world.saga_ends(f"cancellation:{called_off['id']}:", "completed")
    for verb in ("checkIn", "complete"):
        await clinic.owner.post(f"/v1/bookings/{visit['id']}:{verb}")
    review = {"rating": 5, "comment": "Moko was very brave"}

    async def reviewed() -> Json | None:
        answer = await person.api.send("POST", f"/v1/bookings/{visit['id']}/review", json=review)
        return dict(answer.json()) if answer.is_success else None

    await eventually("the visit to be open for a review", reviewed)
    await _expired(world, person, lost)
    by_type = {kind: await _events_of(world, kind, person) for kind in AS_DOCUMENTED}
    assert {kind: len(events) for kind, events in by_type.items()} == {
        "reservation.created": 3,
        "reservation.expired": 1,
        "booking.confirmed": 2,
        "booking.cancelled": 1,
        "booking.completed": 1,
    }
    for kind, events in by_type.items():
        for event in events:
            _check_event(kind, event)
    [cancelled] = by_type["booking.cancelled"]
    assert (cancelled.fields["refund_amount"], cancelled.fields["booking_id"]) == ("150000.00", called_off["id"])


async def _events_of(world: World, kind: str, person: Customer) -> list[Published]:
    async def look() -> list[Published]:
        return [event for event in await published(world.stack, kind) if event.fields["user_id"] == person.id]

    return await eventually(f"{kind} to be published", look)


def _check_event(kind: str, event: Published) -> None:
    assert event.subject == f"petpro.events.{kind}"
    assert event.fields["event_type"] == event.headers["ce-type"] == kind
    assert AS_DOCUMENTED[kind] <= {*event.fields} <= AS_DOCUMENTED[kind] | MAY_BE_ADDED, event.fields
    assert all(isinstance(value, str) for value in event.fields.values()), event.fields
    assert event.headers["ce-specversion"] == "1.0"
    assert event.headers["ce-source"] == "petpro/booking"
    assert event.headers["ce-id"] == event.headers["Nats-Msg-Id"]
    assert datetime.fromisoformat(event.headers["ce-time"]).tzinfo is not None
