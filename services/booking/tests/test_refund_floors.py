"""What a customer was once owed stays theirs, whatever the clinic or the provider does later."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from petpro.booking.v1 import booking_pb2
from petpro.catalog.v1 import catalog_pb2 as catalog
from petpro_booking import store_sagas
from petpro_common.ids import new_id
from services.booking.tests.desk import Desk
from services.booking.tests.test_bookings import get, move
from services.booking.tests.test_no_show import mark
from services.booking.tests.test_refund_quotes import cancel, quote
from services.booking.tests.world import Metadata, World, reason

Cancellation = booking_pb2.CancellationStatus
PRICE = "150000.00"


@pytest.fixture(autouse=True)
def half_back_until_six_hours_before(world: World) -> None:
    tier = catalog.RefundTier(min_hours_before=6, refund_percent=50)
    world.catalog.clinics[str(world.clinic_id)].cancellation_policy.tiers.append(tier)


async def quoted(world: World, booking_id: UUID, metadata: Metadata) -> tuple[str, str, int, bool]:
    """What cancelling gives, what not coming, how much of the price, and whether it will ever be less."""
    told = await quote(world, booking_id, metadata)
    amounts = told.refund_amount.amount, told.no_show_refund_amount.amount
    return *amounts, told.refund_percent, told.HasField("valid_until")


@pytest.mark.parametrize("moves", [1, 2])
async def test_a_clinic_that_moves_a_booking_closer_takes_nothing_of_what_goes_back(world: World, moves: int) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(days=30)))
    for _ in range(moves):
        await move(world, booking_id, await world.open_slot(timedelta(hours=2)), world.as_ani)
    assert await quoted(world, booking_id, mine) == (PRICE, PRICE, 100, False)
    await cancel(world, booking_id, mine)
    assert (await get(world, booking_id, mine)).refund_amount.amount == PRICE


async def test_who_does_not_come_to_where_the_clinic_moved_them_gets_back_what_they_were_owed(world: World) -> None:
    booking_id = await world.book(new_id(), await world.open_slot(timedelta(days=30)))
    await move(world, booking_id, await world.open_slot(timedelta(hours=2)), world.as_ani)
    assert (await mark(world, booking_id)).refund_amount.amount == PRICE


async def test_a_clinics_move_of_what_nothing_is_owed_of_gives_none(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=5)))
    await move(world, booking_id, await world.open_slot(timedelta(hours=2)), world.as_ani)
    assert await quoted(world, booking_id, world.signed_in(budi)) == ("0.00", "0.00", 0, False)


@pytest.mark.parametrize(("hours", "back"), [(500, PRICE), (10, "75000.00"), (5, "0.00")])
async def test_who_then_moves_it_themselves_has_what_the_policy_says_of_the_time_they_chose(
    world: World, hours: int, back: str
) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(days=30)))
    await move(world, booking_id, await world.open_slot(timedelta(hours=2)), world.as_ani)
    await move(world, booking_id, await world.open_slot(timedelta(hours=hours)), mine)
    assert (await quote(world, booking_id, mine)).refund_amount.amount == back


async def checked_in(world: World, booking_id: UUID) -> None:
    """The clinic says before the visit begins that the pet is here."""
    ask = booking_pb2.CheckInBookingRequest(booking_id=str(booking_id))
    await world.bookings.CheckInBooking(ask, metadata=world.as_ani)


async def test_a_check_in_before_the_visit_takes_nothing_of_what_goes_back(world: World) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    world.catalog.clinics[str(world.clinic_id)].cancellation_policy.tiers.add(min_hours_before=1, refund_percent=20)
    moved = await world.book(budi, await world.open_slot(timedelta(days=30)))
    await move(world, moved, await world.open_slot(timedelta(minutes=90)), world.as_ani)
    soon = await world.book(budi, await world.open_slot(timedelta(minutes=90)))
    for booking_id, back in ((moved, PRICE), (soon, "30000.00")):
        await checked_in(world, booking_id)
        assert (await quote(world, booking_id, mine)).refund_amount.amount == back
        await cancel(world, booking_id, mine)
        assert (await get(world, booking_id, mine)).refund_amount.amount == back


async def test_who_was_checked_in_moves_until_it_begins_and_is_confirmed_again(world: World) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(minutes=90)))
    await checked_in(world, booking_id)
    moved = await move(world, booking_id, await world.open_slot(timedelta(minutes=100)), mine)
    assert moved.status == booking_pb2.BOOKING_STATUS_CONFIRMED
    await checked_in(world, booking_id)
    await world.sql("UPDATE bookings SET starts_at = clock_timestamp()")
    free = await world.open_slot(timedelta(days=3))
    for who in (mine, world.as_ani):
        assert await reason(move(world, booking_id, free, who)) == "WRONG_BOOKING_STATUS"
    for act in (cancel, quote):
        assert await reason(act(world, booking_id, mine)) == "BOOKING_HAS_BEGUN"


async def test_who_was_checked_in_and_is_refused_their_refund_is_checked_in_still(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot(timedelta(hours=25)))
    await desk.world.sql("UPDATE bookings SET status = 'in-progress'")
    desk.payment.refuse["SubmitRefund"] = "REFUND_REFUSED"
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_REFUSED)
    assert booking.status == booking_pb2.BOOKING_STATUS_IN_PROGRESS
    desk.payment.refuse.clear()
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert (booking.status, booking.refund_amount.amount) == (booking_pb2.BOOKING_STATUS_CANCELLED, PRICE)


async def test_a_late_move_of_ones_own_is_not_made_good_by_one_of_the_clinic(world: World) -> None:
    budi = new_id()
    mine = world.signed_in(budi)
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=10)))
    for hours, who in ((500, mine), (600, world.as_ani), (2, world.as_ani)):
        await move(world, booking_id, await world.open_slot(timedelta(hours=hours)), who)
        assert (await quote(world, booking_id, mine)).refund_percent == 50


async def test_a_refund_that_is_refused_late_costs_the_customer_nothing(desk: Desk) -> None:
    booking_id = await desk.book(await desk.world.open_slot(timedelta(hours=25)))
    desk.payment.refuse["SubmitRefund"] = "REFUND_REFUSED"
    await desk.cancel(booking_id)
    await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_REFUSED)
    await desk.world.sql("UPDATE bookings SET starts_at = clock_timestamp() + interval '2 hours'")
    mine = desk.world.signed_in(desk.budi)
    assert await quoted(desk.world, UUID(booking_id), mine) == (PRICE, PRICE, 100, False)
    desk.payment.refuse.clear()
    await desk.cancel(booking_id)
    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.refund_amount.amount == PRICE


async def approved(desk: Desk, starts_by_then: str) -> UUID:
    """A booking that was asked for 25 hours before its start, and whose clinic says yes so long before it."""
    world = desk.world
    world.catalog.services[str(world.service_id)].requires_approval = True
    held = await desk.pay(await desk.hold(await world.open_slot(timedelta(hours=25))))
    await world.sql(f"UPDATE slots SET starts_at = clock_timestamp() + interval '{starts_by_then}'")  # noqa: S608
    await world.sql(f"UPDATE reservations SET starts_at = clock_timestamp() + interval '{starts_by_then}'")  # noqa: S608
    yes = booking_pb2.ApproveReservationRequest(reservation_id=held.id)
    await world.reservations.ApproveReservation(yes, metadata=world.as_ani)
    ended = await desk.until_checkout(held.id, booking_pb2.CHECKOUT_STATUS_CONFIRMED)
    return UUID(ended.booking_id)


@pytest.mark.parametrize("by_then", ["10 hours", "5 hours"])
async def test_a_clinic_that_takes_its_time_to_approve_takes_nothing_of_what_goes_back(
    desk: Desk, by_then: str
) -> None:
    booking_id, mine = await approved(desk, by_then), desk.world.signed_in(desk.budi)
    assert await quoted(desk.world, booking_id, mine) == (PRICE, PRICE, 100, False)
    await desk.cancel(str(booking_id))
    booking = await desk.until_cancellation(str(booking_id), Cancellation.CANCELLATION_STATUS_CANCELLED)
    assert booking.refund_amount.amount == PRICE


async def test_a_clinic_that_approves_in_time_owes_what_the_policy_says(desk: Desk) -> None:
    booking_id = await approved(desk, "24 hours 30 minutes")
    assert await quoted(desk.world, booking_id, desk.world.signed_in(desk.budi)) == (PRICE, "0.00", 100, True)


async def test_who_could_not_cancel_in_time_and_does_not_come_gets_back_what_was_frozen(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=10)))
    await cancel(world, booking_id, world.signed_in(budi))
    await refused(world, booking_id)
    assert (await mark(world, booking_id)).refund_amount.amount == "75000.00"


@pytest.mark.parametrize("percent", [1, 33, 50, 67, 99, 100])
@pytest.mark.parametrize("price", ["1.01", "100.02", "333.33", "9999999999.99"])
async def test_what_was_frozen_is_kept_as_the_share_that_it_was(world: World, price: str, percent: int) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    tiers = f'[{{"min_hours_before": 0, "refund_percent": {percent}}}]'
    await world.sql(
        "UPDATE bookings SET amount = :price,"
        " cancellation_policy = jsonb_set(cancellation_policy, '{tiers}', CAST(:tiers AS jsonb))",
        price=Decimal(price),
        tiers=tiers,
    )
    await cancel(world, booking_id, world.signed_in(budi))
    await refused(world, booking_id)
    [kept] = await world.sql("SELECT refund_floor, cancellation_status FROM bookings")
    assert kept == (percent, "refused")


async def refused(world: World, booking_id: UUID) -> None:
    """The provider has refused the refund, and the saga has come to its end."""
    async with world.database.transaction() as tx:
        await store_sagas.refuse_cancellation(tx, booking_id)
