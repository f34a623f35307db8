"""One person has so many bookings to come that nobody has paid for; what is paid, over or called off does not count."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from petpro.booking.v1 import booking_pb2
from petpro_booking import expiry
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.booking.tests.desk import Desk
from services.booking.tests.world import MOST_UNPAID, World, reason

TOO_MANY = "TOO_MANY_UNPAID_BOOKINGS"
CONFIRMED, FAILED = booking_pb2.CHECKOUT_STATUS_CONFIRMED, booking_pb2.CHECKOUT_STATUS_FAILED
AWAITING_APPROVAL = booking_pb2.CHECKOUT_STATUS_AWAITING_APPROVAL


async def booked_to_the_last(world: World, who: UUID, count: int = MOST_UNPAID) -> list[UUID]:
    """As many bookings as one person may have without anything paid, or so many."""
    slot_id = await world.open_slot(timedelta(days=20), capacity=100)
    return [await world.book(who, slot_id, is_paid=False) for _ in range(count)]


async def one_more(desk: Desk) -> Any:
    """Another seat, whose checkout is to go through, or be refused, with its booking to be paid at the clinic."""
    return await desk.pay(await desk.hold(await desk.world.open_slot()), method="pay_at_clinic")


async def test_beyond_so_many_it_is_refused_with_when_to_come_again_and_nothing_is_begun(desk: Desk) -> None:
    first, *_ = await booked_to_the_last(desk.world, desk.budi, MOST_UNPAID - 1)
    await desk.until_checkout((await one_more(desk)).id, CONFIRMED)
    begins = "UPDATE bookings SET starts_at = clock_timestamp() + interval '90 minutes' WHERE id = :id"
    await desk.world.sql(begins, id=first)
    held, sagas = await desk.hold(await desk.world.open_slot()), await desk.world.sql("SELECT FROM sagas")

    with pytest.raises(aio.AioRpcError) as refused:
        await desk.pay(held, method="pay_at_clinic")

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in rpc_status.from_call(refused.value).details:  # type: ignore[arg-type]
        assert detail.Unpack(info) or detail.Unpack(retry)
    assert (info.reason, info.domain, dict(info.metadata)) == (TOO_MANY, "booking.petpro", {"most": str(MOST_UNPAID)})
    assert 5380 <= retry.retry_delay.seconds <= 5400
    assert await desk.reservation(held.id) == held, "the hold is as it was"
    assert len(await desk.world.sql("SELECT FROM sagas")) == len(sagas)
    await desk.pay(held, method="card")
    await desk.until_checkout(held.id, CONFIRMED)


async def cancelled(desk: Desk, booking_id: UUID) -> None:
    await desk.cancel(str(booking_id))
    await desk.until_cancellation(str(booking_id), booking_pb2.CANCELLATION_STATUS_CANCELLED)


async def begun(desk: Desk, booking_id: UUID) -> None:
    """The clinic may never say what became of it."""
    await desk.world.sql("UPDATE bookings SET starts_at = clock_timestamp() WHERE id = :id", id=booking_id)


async def checked_in(desk: Desk, booking_id: UUID) -> None:
    today = "UPDATE bookings SET starts_at = clock_timestamp() + interval '30 minutes' WHERE id = :id"
    await desk.world.sql(today, id=booking_id)
    assert await reason(one_more(desk)) == TOO_MANY
    request = booking_pb2.CheckInBookingRequest(booking_id=str(booking_id))
    await desk.world.bookings.CheckInBooking(request, metadata=desk.world.as_ani)


@pytest.mark.parametrize("end", [cancelled, begun, checked_in])
async def test_a_booking_that_is_over_frees_its_place(desk: Desk, end: Callable[[Desk, UUID], Awaitable[None]]) -> None:
    booked = await booked_to_the_last(desk.world, desk.budi)
    assert await reason(one_more(desk)) == TOO_MANY

    await end(desk, booked[4])

    await desk.until_checkout((await one_more(desk)).id, CONFIRMED)
    assert await reason(one_more(desk)) == TOO_MANY


async def is_asked(desk: Desk) -> bool:
    return "TakePayment" in desk.payment.asked


async def test_what_is_paid_and_what_others_have_does_not_count(desk: Desk) -> None:
    slot_id = await desk.world.open_slot(timedelta(days=20), capacity=100)
    for _ in range(MOST_UNPAID):
        await desk.world.book(desk.budi, slot_id)
    await booked_to_the_last(desk.world, new_id())
    paying = await desk.hold(slot_id)
    desk.payment.pending.add("TakePayment")
    await desk.pay(paying, method="card")
    await eventually(lambda: is_asked(desk))
    desk.payment.pending.clear()
    await booked_to_the_last(desk.world, desk.budi, MOST_UNPAID - 1)
    await desk.until_checkout((await one_more(desk)).id, CONFIRMED)
    assert await reason(one_more(desk)) == TOO_MANY


async def test_what_is_on_its_way_counts_until_it_is_declined(desk: Desk) -> None:
    desk.world.catalog.services[str(desk.world.service_id)].requires_approval = True
    await booked_to_the_last(desk.world, desk.budi, MOST_UNPAID - 2)
    asked = [await one_more(desk) for _ in range(2)]
    assert await reason(one_more(desk)) == TOO_MANY
    request = booking_pb2.DeclineReservationRequest(reservation_id=asked[0].id)
    await desk.world.reservations.DeclineReservation(request, metadata=desk.world.as_ani)
    await desk.until_checkout(asked[0].id, FAILED)
    asked.append(await one_more(desk))
    assert await reason(one_more(desk)) == TOO_MANY

    approve = booking_pb2.ApproveReservationRequest(reservation_id=asked[1].id)
    await desk.world.reservations.ApproveReservation(approve, metadata=desk.world.as_ani)
    await desk.until_checkout(asked[1].id, CONFIRMED)
    assert await reason(one_more(desk)) == TOO_MANY, "it is one thing, before and after"
    back = booking_pb2.CancelReservationRequest(reservation_id=asked[2].id)
    await desk.world.reservations.CancelReservation(back, metadata=desk.world.signed_in(desk.budi))
    await one_more(desk)


async def test_a_checkout_that_has_failed_frees_its_place(desk: Desk) -> None:
    await booked_to_the_last(desk.world, desk.budi, MOST_UNPAID - 1)
    desk.payment.refuse["TakePayment"] = "PAYMENT_METHOD_NOT_OFFERED"
    refused = await one_more(desk)
    failed = await desk.until_checkout(refused.id, FAILED)
    assert failed.failure_reason == "PAYMENT_METHOD_NOT_OFFERED"
    desk.payment.refuse.clear()
    await desk.pay(failed, method="pay_at_clinic")
    await desk.until_checkout(refused.id, CONFIRMED)
    assert await reason(one_more(desk)) == TOO_MANY


@pytest.mark.parametrize("others", [0, 1])
async def test_whose_hold_ran_out_on_the_way_needs_a_place_again(desk: Desk, others: int) -> None:
    """Without a seat it keeps nobody out; confirmed late it must not be one too many."""
    await booked_to_the_last(desk.world, desk.budi, MOST_UNPAID - 1)
    held = await desk.hold(await desk.world.open_slot())

    async def run_out() -> None:
        assert await reason(one_more(desk)) == TOO_MANY
        await desk.world.run_out(held.id)
        assert await reason(one_more(desk)) == TOO_MANY, "until its seat is free"
        await expiry.sweep(desk.world.database)
        await booked_to_the_last(desk.world, desk.budi, others)

    desk.payment.before["TakePayment"] = run_out
    await desk.pay(held, method="pay_at_clinic")
    if others:
        failed = await desk.until_checkout(held.id, FAILED)
        assert failed.failure_reason == TOO_MANY
        assert desk.payment.asked == ["TakePayment", "CancelPayment"]
    else:
        await desk.until_checkout(held.id, CONFIRMED)
    assert await reason(one_more(desk)) == TOO_MANY


async def test_paid_late_by_card_it_needs_no_place(desk: Desk) -> None:
    await booked_to_the_last(desk.world, desk.budi)
    held = await desk.hold(await desk.world.open_slot())

    async def run_out() -> None:
        await desk.world.run_out(held.id)
        await expiry.sweep(desk.world.database)

    desk.payment.before["TakePayment"] = run_out
    await desk.pay(held, method="card")
    await desk.until_checkout(held.id, CONFIRMED)
