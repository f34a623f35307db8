"""Holds that are made to end, on a stack of their own: what happens then, and to money that comes after it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from devstack.api import Json, Refused
from devstack.running import RunningStack
from devstack.testing import StartStack
from tests import invariants
from tests.e2e.events import Published, published
from tests.waiting import eventually
from tests.world import Clinic, Customer, World, open_world

QUICK = {"booking": {"PETPRO_BOOKING_EXPIRY_CHECK_SECONDS": "0.2"}}
END_HOLD = "UPDATE reservations SET expires_at = %(at)s WHERE id = %(id)s"
END_PAYING = (
    "UPDATE payments SET deadline = %(at)s, due_at = least(due_at, %(at)s) WHERE id = %(id)s AND due_at IS NOT NULL"
)
SECONDS_TO_THE_RACE = 3.0
LONG_BEFORE, WHEN_IT_IS_GONE = 60.0, None
SECONDS_BEFORE_THE_END = (LONG_BEFORE, 0.15, 0.1, 0.05, 0.02, 0.0, WHEN_IT_IS_GONE)
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
EVENTS = {
    "reservation.created": 3,
    "reservation.expired": 1,
    "booking.confirmed": 2,
    "booking.cancelled": 1,
    "booking.completed": 1,
}
MAY_BE_ADDED = {"currency", "ends_at", "event_type", "paid_amount", "starts_at"}


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


async def _end(world: World, who: Customer, reservation: Json, in_seconds: float = 0) -> datetime:
    """Has the hold end so soon, and with it the time to pay; returns when."""
    now, at = await world.reservation(who, reservation["id"]), datetime.now(UTC) + timedelta(seconds=in_seconds)
    await world.rows("booking", END_HOLD, id=reservation["id"], at=at)
    await world.rows("payment", END_PAYING, id=now["payment_id"] or None, at=at)
    return at


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
    await _end(world, person, reservation)
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
    await _end(world, late, reservation)
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
    await _end(world, person, reservation)
    await _expired(world, person, reservation)
    if seat_is_gone:
        await world.hold(quick, clinic.slot())
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
    """One pays at the last moment, another waits for the seat: one of them has it, and nobody pays for nothing."""
    (clinic, payer), waiter = await _meet(world), await world.customer()
    races = [_race(world, clinic, payer, waiter, number) for number in range(len(SECONDS_BEFORE_THE_END))]
    winners = await asyncio.gather(*races)
    assert {*winners} == {"payer", "waiter"}, "long before is in time, and when the seat is gone is not"


async def _race(world: World, clinic: Clinic, payer: Customer, waiter: Customer, number: int) -> str:
    reservation = await world.hold(payer, clinic.slot(number))
    await world.checkout(payer, reservation, "tok_requires_action")
    intent = await _intent_of(world, payer, reservation)
    waiting = asyncio.create_task(_hold_when_free(world, waiter, clinic.slot(number)))
    before = SECONDS_BEFORE_THE_END[number]
    ends = await _end(world, payer, reservation, in_seconds=max(SECONDS_TO_THE_RACE, before or 0.0))
    if before is WHEN_IT_IS_GONE:
        await asyncio.wait([waiting])
    else:
        await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() - before)
    await _pay(world, intent)

    async def decided() -> Json | None:
        now = await world.reservation(payer, reservation["id"])
        has_ended = now["checkout_status"] in ("CHECKOUT_STATUS_CONFIRMED", "CHECKOUT_STATUS_FAILED")
        return now if has_ended and now["status"] != "RESERVATION_STATUS_PENDING" else None

    outcome = await eventually("the race to be decided", decided)
    payer_won = outcome["checkout_status"] == "CHECKOUT_STATUS_CONFIRMED"
    if payer_won:
        waiting.cancel()
    else:
        won = await waiting
        await waiter.api.post(f"/v1/reservations/{won['id']}:cancel")
    assert outcome["status"] == f"RESERVATION_STATUS_{'CONFIRMED' if payer_won else 'EXPIRED'}"
    statement = "SELECT id FROM bookings WHERE reservation_id = %(id)s"
    assert len(await world.rows("booking", statement, id=reservation["id"])) == payer_won
    assert await world.seats_taken(clinic, clinic.slot(number)) == payer_won
    return "payer" if payer_won else "waiter"


async def _hold_when_free(world: World, waiter: Customer, slot_id: str) -> Json:
    async def look() -> Json | None:
        try:
            return await world.hold(waiter, slot_id)
        except Refused as refusal:
            assert refusal.reason == "SLOT_FULL"  # noqa: PT017  # whoever waits may meet nothing else
            await asyncio.sleep(0.05)
            return None

    return await eventually("the seat to be free", look)


async def test_the_events_are_published_as_documented(world: World) -> None:
    clinic, person = await _meet(world)
    lost = await world.hold(person, clinic.slot(2))
    visit, called_off = await asyncio.gather(
        world.book(person, clinic.slot(0)), world.book(person, clinic.slot(1), "tok_success")
    )
    await world.cancel(person.api, called_off["id"])
    await world.saga_ends(f"cancellation:{called_off['id']}:", "completed")
    await world.visit(clinic.owner, visit["id"])
    review = {"rating": 5, "comment": "Moko was very brave"}

    async def reviewed() -> Json | None:
        answer = await person.api.send("POST", f"/v1/bookings/{visit['id']}/review", json=review)
        return dict(answer.json()) if answer.is_success else None

    await eventually("the visit to be open for a review", reviewed)
    await _end(world, person, lost)
    await _expired(world, person, lost)

    async def all_published() -> dict[str, list[Published]] | None:
        found = {kind: await _events_of(world, kind, person) for kind in AS_DOCUMENTED}
        return found if {kind: len(events) for kind, events in found.items()} == EVENTS else None

    by_type = await eventually(f"these events and no others: {EVENTS}", all_published)
    for kind, events in by_type.items():
        for event in events:
            _check_event(kind, event)
    [cancelled] = by_type["booking.cancelled"]
    assert (cancelled.fields["refund_amount"], cancelled.fields["booking_id"]) == ("150000.00", called_off["id"])


async def _events_of(world: World, kind: str, person: Customer) -> list[Published]:
    return [event for event in await published(world.stack, kind) if event.fields["user_id"] == person.id]


def _check_event(kind: str, event: Published) -> None:
    assert event.subject == f"petpro.events.{kind}"
    assert event.fields["event_type"] == event.headers["ce-type"] == kind
    assert AS_DOCUMENTED[kind] <= {*event.fields} <= AS_DOCUMENTED[kind] | MAY_BE_ADDED, event.fields
    assert all(isinstance(value, str) for value in event.fields.values()), event.fields
    assert event.headers["ce-specversion"] == "1.0"
    assert event.headers["ce-source"] == "petpro/booking"
    assert event.headers["ce-id"] == event.headers["Nats-Msg-Id"]
    assert datetime.fromisoformat(event.headers["ce-time"]).tzinfo is not None
