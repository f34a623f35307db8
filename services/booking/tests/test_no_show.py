"""Nobody came: what the policy's fee leaves goes back, once, whatever happens on the way."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2 as catalog
from petpro_booking import cancellation, no_show
from petpro_booking.saga import NO_SHOW
from petpro_common.context import Caller, Role
from petpro_common.ids import new_id
from petpro_common.saga import SagaEngine
from petpro_common.testing import eventually
from services.booking.tests.desk import Desk
from services.booking.tests.test_bookings import get, move
from services.booking.tests.test_refund_quotes import quote
from services.booking.tests.world import World, reason

TIERS = [
    catalog.RefundTier(min_hours_before=24, refund_percent=80),
    catalog.RefundTier(min_hours_before=0, refund_percent=50),
]
GIVEN_BACK = ["ReserveRefund", "PostRefundEntry", "SubmitRefund", "SettleRefundEntry"]
Status = booking_pb2.BookingStatus


def ask_for(world: World, fee: int) -> None:
    """Who does not come pays so many percent of the price."""
    policy = catalog.CancellationPolicy(tiers=TIERS, no_show_fee_percent=fee, version=2)
    world.catalog.clinics[str(world.clinic_id)].cancellation_policy.CopyFrom(policy)


async def mark(world: World, booking_id: str | UUID, request_id: str = "") -> Any:
    """The start has passed, and the clinic says that nobody came."""
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp() WHERE status = 'confirmed'")
    wanted = booking_pb2.MarkBookingNoShowRequest(booking_id=str(booking_id), request_id=request_id)
    return (await world.bookings.MarkBookingNoShow(wanted, metadata=world.as_ani)).booking


async def sagas(world: World) -> list[Any]:
    return list(await world.sql("SELECT id, business_key, status FROM sagas WHERE saga_type = 'no_show'"))


async def test_what_the_fee_leaves_goes_back_and_is_what_was_told(desk: Desk) -> None:
    ask_for(desk.world, fee=60)
    slot_id = await desk.world.open_slot()
    booking_id = await desk.book(slot_id)
    told = await quote(desk.world, UUID(booking_id), desk.world.signed_in(desk.budi))
    marked = await mark(desk.world, booking_id)
    assert (marked.status, marked.refund_status) == (Status.BOOKING_STATUS_NO_SHOW, "pending")
    assert (marked.refund_amount, marked.refund_amount.amount) == (told.no_show_refund_amount, "60000.00")
    await eventually(lambda: desk.payment.asked[2:] == GIVEN_BACK)
    order = desk.payment.of_type("ReserveRefund")
    assert (order.payment_id, order.amount.amount, order.reason) == (marked.payment_id, "60000.00", "no-show")
    assert desk.payment.of_type("SubmitRefund").must_succeed is True
    [event] = await desk.world.events("booking.no_show")
    assert (event["refund_amount"], event["refund_status"], event["currency"]) == ("60000.00", "pending", "IDR")
    assert await desk.world.seats(slot_id) == (1, "booked")

    async def ended() -> bool:
        return [saga.status for saga in await sagas(desk.world)] == ["completed"]

    await eventually(ended)
    for status in ("succeeded", "manual"):
        async with desk.world.database.transaction() as tx:
            heard = {"event_type": f"refund.{status}", "booking_id": booking_id}
            await cancellation.refund_changed(tx, heard)
        assert (await desk.booking(booking_id)).refund_status == status


async def test_asked_again_on_every_step_it_gives_back_once(desk: Desk) -> None:
    ask_for(desk.world, fee=60)
    booking_id = await desk.book(await desk.world.open_slot())

    async def asked_again() -> None:
        """The step's time runs out before it is answered."""
        await desk.world.sql("UPDATE sagas SET due_at = clock_timestamp() WHERE status = 'running'")

        async def is_asked_again() -> bool:
            return bool(await desk.world.sql("SELECT FROM sagas WHERE status = 'running' AND attempt > 1"))

        await eventually(is_asked_again)

    desk.payment.before |= dict.fromkeys(GIVEN_BACK, asked_again)
    await mark(desk.world, booking_id)

    async def ended() -> bool:
        return [saga.status for saga in await sagas(desk.world)] == ["completed"]

    await eventually(ended)
    assert desk.payment.asked[2:] == GIVEN_BACK


async def test_a_mark_that_does_not_commit_leaves_nothing_and_one_that_comes_again_changes_nothing(
    world: World,
) -> None:
    ask_for(world, fee=60)
    booking_id = await world.book(new_id(), await world.open_slot())
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    engine = SagaEngine(world.database, [NO_SHOW], {})

    async def dies_before_it_commits() -> None:
        async with world.database.transaction() as tx:
            await no_show.mark(tx, engine, Caller(str(world.ani), Role.CLINIC), booking_id)
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await dies_before_it_commits()
    assert (await get(world, booking_id, world.as_ani)).status == Status.BOOKING_STATUS_CONFIRMED
    assert (await sagas(world), await world.events("booking.no_show")) == ([], [])

    first = await mark(world, booking_id, "nobody-came")
    assert await mark(world, booking_id, "nobody-came") == first
    assert await reason(mark(world, booking_id)) == "WRONG_BOOKING_STATUS"
    assert [saga.business_key for saga in await sagas(world)] == [f"no_show:{booking_id}"]
    assert len(await world.events("booking.no_show")) == 1


async def test_of_a_no_show_and_a_cancellation_at_once_one_happens(world: World) -> None:
    ask_for(world, fee=60)
    for _ in range(5):
        booking_id = await world.book(new_id(), await world.open_slot())
        await world.sql("UPDATE bookings SET starts_at = clock_timestamp() WHERE status = 'confirmed'")
        marking = booking_pb2.MarkBookingNoShowRequest(booking_id=str(booking_id))
        cancelling = booking_pb2.CancelBookingRequest(booking_id=str(booking_id))
        outcomes = await asyncio.gather(
            world.bookings.MarkBookingNoShow(marking, metadata=world.as_ani),
            world.bookings.CancelBooking(cancelling, metadata=world.as_ani),
            return_exceptions=True,
        )
        assert len([each for each in outcomes if isinstance(each, BaseException)]) == 1
        started = await world.sql("SELECT FROM sagas WHERE data->>'booking_id' = :id", id=str(booking_id))
        assert len(started) == 1


@pytest.mark.parametrize(("fee", "at_the_clinic"), [(100, False), (60, True)])
async def test_where_nothing_goes_back_no_saga_begins(world: World, fee: int, at_the_clinic: bool) -> None:
    ask_for(world, fee)
    booking_id = await world.book(new_id(), await world.open_slot())
    if at_the_clinic:
        await world.sql("UPDATE bookings SET payment_id = NULL")
    marked = await mark(world, booking_id)
    assert (marked.refund_amount.amount, marked.refund_status) == ("0.00", "none")
    assert await sagas(world) == []
    [event] = await world.events("booking.no_show")
    assert (event["refund_amount"], event["refund_status"]) == ("0.00", "none")


async def test_the_fee_is_that_of_the_hold_whatever_the_policy_becomes(world: World) -> None:
    ask_for(world, fee=60)
    booking_id = await world.book(new_id(), await world.open_slot())
    await world.sql(
        "UPDATE catalog_clinics SET version = 9, cancellation_policy = "
        """'{"tiers": [], "no_show_fee_percent": 100, "version": 3}'"""
    )
    assert (await mark(world, booking_id)).refund_amount.amount == "60000.00"


async def test_a_late_move_and_staying_away_gives_no_more_than_the_move_left(world: World) -> None:
    ask_for(world, fee=60)
    budi, soon, later = new_id(), *[await world.open_slot(timedelta(hours=hours)) for hours in (5, 500)]
    booking_id = await world.book(budi, soon)
    # A policy from before the rule that not coming costs no less than cancelling: the move leaves 20 %.
    await world.sql("""UPDATE bookings SET cancellation_policy = jsonb_set(cancellation_policy, '{tiers}',
        '[{"min_hours_before": 0, "refund_percent": 20}]')""")
    await move(world, booking_id, later, world.signed_in(budi))
    assert (await mark(world, booking_id)).refund_amount.amount == "30000.00"


async def test_the_month_goes_without_what_went_back(world: World) -> None:
    ask_for(world, fee=60)
    await mark(world, await world.book(new_id(), await world.open_slot()))
    await world.sql("REFRESH MATERIALIZED VIEW clinic_booking_summary")
    ask = booking_pb2.GetClinicSummaryRequest(clinic_id=str(world.clinic_id))
    [month] = (await world.bookings.GetClinicSummary(ask, metadata=world.as_ani)).months
    assert (month.total_revenue.amount, month.net_revenue.amount, month.cancelled_count) == ("150000.00", "90000.00", 0)
