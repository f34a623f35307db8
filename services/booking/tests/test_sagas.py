"""Checkout and cancellation from end to end: booking as it is, payment played over a real broker."""

import time
from datetime import timedelta

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import cancellation, expiry
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.sealing import Opener
from petpro_common.testing import eventually
from services.booking.tests.conftest import HOLD_SECONDS
from services.booking.tests.desk import Desk
from services.booking.tests.world import reason

Status = booking_pb2.BookingStatus
Checkout = booking_pb2.CheckoutStatus
Cancellation = booking_pb2.CancellationStatus


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


async def test_cancelled_in_time_everything_goes_back(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    booking_id = await desk.book(slot_id)
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.status == Status.BOOKING_STATUS_CANCELLED
    assert booking.cancellation_reason == "Miko is well again"
    assert (booking.refund_amount.amount, booking.refund_status) == ("150000.00", "pending")
    await eventually(
        lambda: desk.payment.asked[2:] == ["ReserveRefund", "PostRefundEntry", "SubmitRefund", "SettleRefundEntry"]
    )
    assert desk.payment.of_type("SubmitRefund").must_succeed is False
    (event,) = await desk.world.events("booking.cancelled")
    assert (event["refund_amount"], event["refund_status"]) == ("150000.00", "pending")
    assert await desk.world.seats(slot_id) == (0, "available")


async def test_a_refund_that_arrives_before_the_booking_is_cancelled_stays_arrived(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot())
    desk.payment.before["SubmitRefund"] = lambda: refund_went(desk, booking_id, "refund.succeeded")
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.refund_status == "succeeded"
    (event,) = await desk.world.events("booking.cancelled")
    assert event["refund_status"] == "succeeded"


@pytest.mark.parametrize("told", [["succeeded", "manual"], ["manual", "succeeded"]])
async def test_a_refund_that_the_bank_sent_back_waits_for_a_person_in_whatever_order_it_is_told(
    desk: Desk, told: list[str]
) -> None:
    booking_id = await desk.book(await desk.world.open_slot())
    await desk.cancel(booking_id)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    for status in told:
        await refund_went(desk, booking_id, f"refund.{status}")
    assert (await desk.booking(booking_id)).refund_status == "manual"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ([("manual", "submitted"), ("succeeded", "manual")], "succeeded"),
        ([("succeeded", "manual"), ("manual", "submitted")], "succeeded"),
        ([("succeeded", "pending"), ("manual", "succeeded")], "manual"),
        ([("manual", "succeeded"), ("succeeded", "pending")], "manual"),
        ([("succeeded", "pending"), ("manual", "succeeded"), ("succeeded", "manual")], "succeeded"),
    ],
)
async def test_a_refund_that_a_person_has_paid_has_succeeded_in_whatever_order_it_is_told(
    desk: Desk, told: list[tuple[str, str]], shown: str
) -> None:
    booking_id = await desk.book(await desk.world.open_slot())
    await desk.cancel(booking_id)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    for status, before in told:
        await refund_went(desk, booking_id, f"refund.{status}", status_before=before)
    assert (await desk.booking(booking_id)).refund_status == shown


async def refund_went(desk: Desk, booking_id: str, event_type: str, **more: str) -> None:
    async with desk.world.database.transaction() as tx:
        await cancellation.refund_changed(tx, {"event_type": event_type, "booking_id": booking_id, **more})


async def test_a_refused_refund_leaves_the_booking_as_it_was_and_it_can_be_tried_again(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    booking_id = await desk.book(slot_id)
    before = await desk.booking(booking_id)
    desk.payment.refuse["SubmitRefund"] = "REFUND_REFUSED"
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_REFUSED)
    assert booking.status == before.status
    assert (booking.slot_id, booking.amount, booking.reference_code) == (
        before.slot_id,
        before.amount,
        before.reference_code,
    )
    assert desk.payment.asked[5:] == ["CancelRefundEntry", "ReleaseRefund"]
    assert await desk.world.seats(slot_id) == (1, "booked")
    (event,) = await desk.world.events("booking.cancellation_refused")
    assert event["reason"] == "REFUND_REFUSED"
    assert await desk.world.events("booking.cancelled") == []

    desk.payment.refuse.clear()
    await desk.cancel(booking_id)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)


async def test_too_late_for_money_back_it_is_cancelled_without_payment(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot(timedelta(hours=2)))
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert (booking.refund_amount.amount, booking.refund_status) == ("0.00", "none")
    assert desk.payment.asked[-1] == "PostBookingFee"


async def test_a_clinics_cancellation_gives_all_back_and_goes_through_whatever_the_provider_says(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot(timedelta(hours=2)))
    await desk.cancel(booking_id, desk.world.as_ani)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.refund_amount.amount == "150000.00"
    await eventually(lambda: "SubmitRefund" in desk.payment.asked)
    assert desk.payment.of_type("SubmitRefund").must_succeed is True


async def test_while_a_cancellation_is_on_its_way_nothing_else_begins(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot())
    other_slot = await desk.world.open_slot(timedelta(days=3))
    reasons: list[str] = []

    async def meddle() -> None:
        reasons.append(await reason(desk.cancel(booking_id)))
        move = booking_pb2.RescheduleBookingRequest(booking_id=booking_id, slot_id=str(other_slot))
        metadata = desk.world.signed_in(desk.budi)
        reasons.append(await reason(desk.world.bookings.RescheduleBooking(move, metadata=metadata)))
        check_in = booking_pb2.CheckInBookingRequest(booking_id=booking_id)
        reasons.append(await reason(desk.world.bookings.CheckInBooking(check_in, metadata=desk.world.as_ani)))

    desk.payment.before["ReserveRefund"] = meddle
    await desk.cancel(booking_id)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert reasons == ["CANCELLATION_IN_PROGRESS"] * 3
    assert await reason(desk.cancel(booking_id)) == "WRONG_BOOKING_STATUS"


async def test_nobody_cancels_anothers_booking(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot())
    for stranger in (desk.world.signed_in(new_id()), desk.world.signed_in(new_id(), Role.CLINIC)):
        assert await reason(desk.cancel(booking_id, stranger)) == "BOOKING_NOT_FOUND"
    assert (await desk.booking(booking_id)).cancellation_status == Cancellation.CANCELLATION_STATUS_NONE
