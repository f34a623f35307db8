"""Checkout from end to end: booking as it is, payment played over a real broker."""

import time
from datetime import UTC, timedelta

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import expiry
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.sealing import Opener
from petpro_common.testing import eventually
from services.booking.tests.conftest import HOLD_SECONDS
from services.booking.tests.desk import Desk
from services.booking.tests.world import reason

Status = booking_pb2.BookingStatus
Checkout = booking_pb2.CheckoutStatus


async def test_paid_it_is_booked(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    booking = await desk.booking(await desk.book(slot_id))
    assert booking.status == Status.BOOKING_STATUS_CONFIRMED
    assert booking.reference_code.startswith("PP-")
    assert booking.amount.amount == "150000.00"
    assert desk.payment.asked == ["TakePayment", "PostBookingFee"]
    assert desk.payment.of_type("PostBookingFee").commission_rate == "10.00"
    assert desk.payment.of_type("TakePayment").booking_id == booking.id
    (event,) = await desk.world.events("booking.confirmed")
    assert event["reference_code"] == booking.reference_code
    assert await desk.world.seats(slot_id) == (1, "booked")


async def test_declined_the_hold_stays_and_another_means_of_payment_works(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    desk.payment.refuse["TakePayment"] = "CARD_DECLINED"
    held = await desk.pay(await desk.hold(slot_id))
    declined = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_FAILED)
    assert declined.failure_reason == "CARD_DECLINED"
    assert declined.status == booking_pb2.RESERVATION_STATUS_PENDING
    assert await desk.world.seats(slot_id) == (1, "booked")
    (event,) = await desk.world.events("checkout.failed")
    assert (event["reason"], event["refund_amount"]) == ("CARD_DECLINED", "0.00")

    desk.payment.refuse.clear()
    await desk.pay(declined)
    confirmed = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_CONFIRMED)
    first, second, *_ = [command for command in desk.payment.heard if command.DESCRIPTOR.name == "TakePayment"]
    assert first.payment_id != second.payment_id
    assert confirmed.booking_id == second.booking_id


async def test_the_lock_id_is_needed_and_only_the_holder_may_pay(desk: Desk) -> None:
    held = await desk.hold(await desk.world.open_slot())
    assert await reason(desk.pay(held, lock_id="somebody else's")) == "WRONG_LOCK_ID"
    assert await reason(desk.pay(held, user_id=new_id())) == "RESERVATION_NOT_FOUND"
    assert desk.payment.asked == []


async def test_a_lock_id_in_any_script_is_only_wrong(desk: Desk) -> None:
    held = await desk.hold(await desk.world.open_slot())
    assert await reason(desk.pay(held, lock_id="kunci-préférée-鍵")) == "WRONG_LOCK_ID"


@pytest.mark.parametrize("declined", [False, True])
async def test_a_checkout_that_has_ended_remembers_no_means_of_payment(desk: Desk, declined: bool) -> None:
    if declined:
        desk.payment.refuse["TakePayment"] = "CARD_DECLINED"
    paid = await desk.pay(await desk.hold(await desk.world.open_slot()))
    status = Checkout.CHECKOUT_STATUS_FAILED if declined else Checkout.CHECKOUT_STATUS_CONFIRMED
    await desk.until_checkout(paid.id, status)

    async def ended() -> bool:
        (saga,) = await desk.world.sql("SELECT status FROM sagas")
        return saga.status in ("completed", "compensated")

    await eventually(ended)
    (saga,) = await desk.world.sql("SELECT data FROM sagas")
    order = desk.payment.of_type("TakePayment")
    opened = Opener(desk.world.keys.service_key("payment")).open(order.payment_token, order.payment_id)
    assert opened == "tok_1"
    assert order.payment_token not in str(saga.data)
    assert saga.data["reservation_id"] == paid.id


async def test_what_a_customer_pays_with_is_written_nowhere(desk: Desk) -> None:
    paid = await desk.pay(await desk.hold(await desk.world.open_slot()))
    await desk.until_checkout(paid.id, Checkout.CHECKOUT_STATUS_CONFIRMED)
    written = [*await desk.world.sql("SELECT payload FROM outbox"), *await desk.world.sql("SELECT data FROM sagas")]
    assert len(written) > 1
    assert not any("tok_1" in str(row[0]) for row in written)


@pytest.mark.parametrize("by_clinic", [False, True])
async def test_what_is_paid_at_the_clinic_is_booked_and_cancelled_without_money_of_ours(
    desk: Desk, by_clinic: bool
) -> None:
    paid = await desk.pay(await desk.hold(await desk.world.open_slot()), method="pay_at_clinic")
    booking_id = (await desk.until_checkout(paid.id, Checkout.CHECKOUT_STATUS_CONFIRMED)).booking_id
    assert (await desk.booking(booking_id)).payment_id == ""
    (confirmed,) = await desk.world.events("booking.confirmed")
    assert (confirmed["amount"], confirmed["paid_amount"]) == ("150000.00", "0.00")
    await desk.cancel(booking_id, desk.world.signed_in(new_id(), Role.ADMIN) if by_clinic else None)

    async def cancelled() -> bool:
        return bool((await desk.booking(booking_id)).status == Status.BOOKING_STATUS_CANCELLED)

    await eventually(cancelled)
    await eventually(desk.all_has_ended)
    assert (await desk.booking(booking_id)).refund_amount.amount in ("", "0.00")
    assert set(desk.payment.asked) == {"TakePayment", "PostBookingFee"}


async def test_one_checkout_at_a_time(desk: Desk) -> None:
    held = await desk.hold(await desk.world.open_slot())

    async def pay_again() -> None:
        assert await reason(desk.pay(held)) == "CHECKOUT_IN_PROGRESS"

    desk.payment.before["TakePayment"] = pay_again
    await desk.pay(held)
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_CONFIRMED)
    assert await reason(desk.pay(held)) == "RESERVATION_NOT_PENDING"
    assert desk.payment.asked.count("TakePayment") == 1


@pytest.mark.parametrize("seat_is_taken", [False, True])
async def test_paid_after_the_hold_ran_out_takes_the_seat_again_or_gives_all_back(
    desk: Desk, seat_is_taken: bool
) -> None:
    slot_id = await desk.world.open_slot()
    held = await desk.hold(slot_id)

    async def run_out() -> None:
        await desk.world.run_out(held.id)
        await expiry.sweep(desk.world.database)
        if seat_is_taken:
            await desk.world.hold(new_id(), slot_id)

    desk.payment.before["TakePayment"] = run_out
    await desk.pay(held)
    if not seat_is_taken:
        await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_CONFIRMED)
    else:
        failed = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_FAILED)
        assert failed.failure_reason == "SLOT_FULL"
        assert desk.payment.asked == ["TakePayment", "CancelPayment"]
        (event,) = await desk.world.events("checkout.failed")
        assert event["refund_amount"] == "150000.00"
    assert await desk.world.seats(slot_id) == (1, "booked")


async def test_a_clinic_that_wants_to_be_asked_approves_before_anything_is_charged(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    held = await desk.pay(await desk.hold(await desk.world.open_slot()))
    waiting = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL)
    assert waiting.expires_at.seconds > held.created_at.seconds + 3500, "the clinic has an hour"
    request = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    stranger = desk.world.signed_in(new_id(), Role.CLINIC)
    assert (
        await reason(desk.world.reservations.ApproveReservation(request, metadata=stranger)) == "RESERVATION_NOT_FOUND"
    )
    assert desk.payment.asked == []
    approved = await desk.world.reservations.ApproveReservation(request, metadata=desk.world.as_ani)
    assert approved.reservation.expires_at.seconds - time.time() < HOLD_SECONDS + 1, "and its customer no longer"
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_CONFIRMED)


async def test_a_clinic_that_has_said_yes_is_not_asked_again_when_the_card_is_declined(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    desk.payment.refuse["TakePayment"] = "CARD_DECLINED"
    held = await desk.pay(await desk.hold(await desk.world.open_slot()))
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL)
    request = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    approved = await desk.world.reservations.ApproveReservation(request, metadata=desk.world.as_ani)
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_FAILED)

    desk.payment.refuse.clear()
    again = await desk.pay(held)

    assert again.checkout_status == Checkout.CHECKOUT_STATUS_AWAITING_PAYMENT
    assert again.expires_at == approved.reservation.expires_at, "and the hold does not grow"
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_CONFIRMED)
    assert len(await desk.world.events("reservation.approval_requested")) == 1


async def test_neither_clinic_nor_customer_has_time_beyond_the_beginning_of_the_slot(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    slot_id = await desk.world.open_slot(timedelta(minutes=5))
    held = await desk.pay(await desk.hold(slot_id))
    waiting = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL)
    request = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    approved = await desk.world.reservations.ApproveReservation(request, metadata=desk.world.as_ani)
    [slot] = await desk.world.sql("SELECT starts_at FROM slots WHERE id = :id", id=slot_id)
    for each in (waiting, approved.reservation):
        assert each.expires_at.ToDatetime(UTC) == slot.starts_at


async def test_a_clinic_that_approves_after_the_hold_ran_out_is_too_late_and_nothing_is_charged(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    slot_id = await desk.world.open_slot()
    held = await desk.pay(await desk.hold(slot_id))
    await desk.world.run_out(held.id)
    await expiry.sweep(desk.world.database)
    request = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    approving = desk.world.reservations.ApproveReservation(request, metadata=desk.world.as_ani)
    assert await reason(approving) == "NOT_AWAITING_APPROVAL"
    assert await desk.world.seats(slot_id) == (0, "available")
    assert desk.payment.asked == []


async def test_a_clinic_that_says_no_frees_the_seat(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    slot_id = await desk.world.open_slot()
    held = await desk.pay(await desk.hold(slot_id))
    request = booking_pb2.DeclineReservationRequest(reservation_id=held.id)
    await desk.world.reservations.DeclineReservation(request, metadata=desk.world.as_ani)
    declined = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_FAILED)
    assert declined.failure_reason == "DECLINED_BY_CLINIC"
    assert declined.status == booking_pb2.RESERVATION_STATUS_CANCELLED
    assert await desk.world.seats(slot_id) == (0, "available")
    [event] = await desk.world.events("reservation.cancelled")
    assert (event["reservation_id"], event["slot_id"]) == (held.id, str(slot_id))
    assert desk.payment.asked == []


@pytest.mark.parametrize("gives_up_first", ["the hold", "the saga"])
async def test_a_clinic_that_does_not_answer_is_the_reason_whoever_gives_up_first(
    desk: Desk, gives_up_first: str
) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    held = await desk.pay(await desk.hold(await desk.world.open_slot()))
    await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_AWAITING_APPROVAL)
    if gives_up_first == "the hold":
        await desk.world.run_out(held.id)
    else:
        await desk.world.sql("UPDATE sagas SET step_began_at = step_began_at - interval '1 day'")
    await desk.world.sql("UPDATE sagas SET due_at = clock_timestamp()")
    failed = await desk.until_checkout(held.id, Checkout.CHECKOUT_STATUS_FAILED)
    assert failed.failure_reason == "APPROVAL_TIMED_OUT"
    (event,) = await desk.world.events("checkout.failed")
    assert (event["reason"], event["refund_amount"]) == ("APPROVAL_TIMED_OUT", "0.00")
    assert desk.payment.asked == []


async def test_who_gives_a_seat_back_while_the_clinic_is_asked_hears_of_no_failure(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    held = await desk.pay(await desk.hold(await desk.world.open_slot()))
    request = booking_pb2.CancelReservationRequest(reservation_id=held.id)
    await desk.world.reservations.CancelReservation(request, metadata=desk.world.signed_in(desk.budi))
    await desk.world.sql("UPDATE sagas SET due_at = clock_timestamp()")

    async def has_ended() -> bool:
        (saga,) = await desk.world.sql("SELECT status FROM sagas")
        return bool(saga.status == "compensated")

    await eventually(has_ended)
    assert await desk.world.events("checkout.failed") == []
    assert len(await desk.world.events("reservation.cancelled")) == 1
