"""Cancellation from end to end: booking as it is, payment played over a real broker."""

from datetime import timedelta

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import cancellation, store_projections
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.booking.tests.desk import Desk
from services.booking.tests.world import reason

Status = booking_pb2.BookingStatus
Cancellation = booking_pb2.CancellationStatus


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
    assert event["paid_amount"] == "150000.00"
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


@pytest.mark.parametrize("by_clinic", [False, True])
async def test_of_what_is_paid_at_the_clinic_it_is_told_that_nothing_was_paid(desk: Desk, by_clinic: bool) -> None:
    booking_id = await desk.book(await desk.world.open_slot(), method="pay_at_clinic")
    await desk.cancel(booking_id, desk.world.as_ani if by_clinic else None)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    (event,) = await desk.world.events("booking.cancelled")
    assert (event["paid_amount"], event["refund_amount"]) == ("0.00", "0.00")


async def test_a_clinics_cancellation_gives_all_back_and_goes_through_whatever_the_provider_says(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot(timedelta(hours=2)))
    await desk.cancel(booking_id, desk.world.as_ani)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.refund_amount.amount == "150000.00"
    await eventually(lambda: "SubmitRefund" in desk.payment.asked)
    assert desk.payment.of_type("SubmitRefund").must_succeed is True


@pytest.mark.parametrize("by", ["clinic", "admin"])
async def test_who_was_checked_in_by_mistake_gets_all_back_from_those_who_act_for_the_clinic(
    desk: Desk, by: str
) -> None:
    slot_id = await desk.world.open_slot()
    booking_id = await desk.book(slot_id)
    await desk.world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    check_in = booking_pb2.CheckInBookingRequest(booking_id=booking_id)
    await desk.world.bookings.CheckInBooking(check_in, metadata=desk.world.as_ani)
    assert await reason(desk.cancel(booking_id)) == "BOOKING_HAS_BEGUN"

    await desk.cancel(booking_id, desk.world.as_ani if by == "clinic" else desk.world.signed_in(new_id(), Role.ADMIN))

    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert (booking.status, booking.refund_amount.amount) == (Status.BOOKING_STATUS_CANCELLED, "150000.00")
    await eventually(desk.all_has_ended)
    assert await desk.world.seats(slot_id) == (0, "available")


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
    works_elsewhere = new_id()
    staff = {"id": new_id(), "clinic_id": new_id(), "user_id": works_elsewhere, "working_hours": {}, "version": 1}
    async with desk.world.database.transaction() as tx:
        store_projections.keep_staff(tx, staff)
    strangers = ((new_id(), Role.CUSTOMER), (new_id(), Role.CLINIC), (works_elsewhere, Role.CLINIC))
    for stranger in (desk.world.signed_in(*each) for each in strangers):
        assert await reason(desk.cancel(booking_id, stranger)) == "BOOKING_NOT_FOUND"
    assert (await desk.booking(booking_id)).cancellation_status == Cancellation.CANCELLATION_STATUS_NONE
