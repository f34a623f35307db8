"""A clinic calls a visit off while its customer's own cancellation waits for the provider: its word counts."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from petpro.booking.v1 import booking_pb2
from petpro_booking import called_off, cancellation
from petpro_booking.cancellation import CancellationRequest
from petpro_common.context import Caller, Role
from petpro_common.ids import new_id
from petpro_common.saga import store as saga_store
from petpro_common.testing import eventually, running
from services.booking.tests.desk import Desk
from services.booking.tests.test_erasure import erased
from services.booking.tests.test_starts_together import cancel, cancelling, customer, engine_on
from services.booking.tests.world import World, reason, until_somebody_waits

Cancellation = booking_pb2.CancellationStatus
HALF_BACK = """
    UPDATE bookings SET cancellation_policy =
        '{"version": 1, "tiers": [{"min_hours_before": 1, "refund_percent": 50}]}' WHERE id = :id
"""
UNDONE = "UPDATE bookings SET cancellation_status = 'refused', cancelled_by = NULL WHERE id = :id"


async def called_off_meanwhile(desk: Desk, slot_id: UUID, refused: bool) -> str:
    """A booking whose customer is to get half back, called off by its clinic before the provider answers."""
    booking_id = await desk.book(slot_id)
    await desk.world.sql(HALF_BACK, id=UUID(booking_id))
    if refused:
        desk.payment.refuse["SubmitRefund"] = "REFUND_REFUSED"

    async def call_off() -> None:
        del desk.payment.before["ReserveRefund"]
        kept = await desk.cancel(booking_id, desk.world.as_ani)
        assert kept.booking.cancellation_status == Cancellation.CANCELLATION_STATUS_REQUESTED

    async def take_refunds_again() -> None:
        desk.payment.refuse.clear()

    desk.payment.before |= {"ReserveRefund": call_off, "ReleaseRefund": take_refunds_again}
    await desk.cancel(booking_id)
    await eventually(lambda: "ReserveRefund" not in desk.payment.before)
    return booking_id


async def test_undone_it_is_cancelled_by_the_clinic_and_all_goes_back(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    async with running(called_off.run(desk.world.database, engine_on(desk.world.database))):
        booking_id = await called_off_meanwhile(desk, slot_id, refused=True)
        booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)

    assert booking.refund_amount.amount == "150000.00"
    await eventually(desk.all_has_ended)
    assert [each.must_succeed for each in desk.payment.heard if each.DESCRIPTOR.name == "SubmitRefund"] == [False, True]
    assert await desk.world.events("booking.cancellation_refused") == [], "nobody hears that it stands"
    [told] = await desk.world.events("booking.cancelled")
    assert told["refund_amount"] == "150000.00"
    assert await desk.world.seats(slot_id) == (0, "available")


async def test_taken_on_it_is_cancelled_as_its_customer_asked(desk: Desk) -> None:
    slot_id = await desk.world.open_slot()
    booking_id = await called_off_meanwhile(desk, slot_id, refused=False)

    booking = await desk.until_cancellation(booking_id, Cancellation.CANCELLATION_STATUS_CANCELLED)

    assert booking.refund_amount.amount == "75000.00"
    await eventually(desk.all_has_ended)
    assert await called_off.carry_out(desk.world.database, engine_on(desk.world.database)) == 0
    assert len(await desk.world.events("booking.cancelled")) == 1
    assert await desk.world.seats(slot_id) == (0, "available")


async def test_a_word_is_kept_once(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    await cancel(world, [cancelling(customer(budi), booking_id)])
    request = booking_pb2.CancelBookingRequest(booking_id=str(booking_id), reason="Doctor is ill", request_id="once")

    first, again = [await world.bookings.CancelBooking(request, metadata=world.as_ani) for _ in range(2)]

    assert first == again
    request.request_id = ""
    for caller in (world.as_ani, world.signed_in(new_id(), Role.ADMIN), world.signed_in(budi)):
        assert await reason(world.bookings.CancelBooking(request, metadata=caller)) == "CANCELLATION_IN_PROGRESS"


@pytest.fixture
async def undone(world: World) -> tuple[UUID, UUID]:
    """A booking that was called off, and whose customer's cancellation a replica of the version before has undone."""
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot(timedelta(hours=30)))
    await cancel(world, [cancelling(customer(budi), booking_id)])
    await cancel(world, [cancelling(Caller(str(world.ani), Role.CLINIC), booking_id)])
    await world.sql(UNDONE, id=booking_id)
    return booking_id, budi


async def test_until_the_clinics_cancellation_begins_nothing_else_becomes_of_the_booking(
    world: World, undone: tuple[UUID, UUID]
) -> None:
    booking_id, budi = undone
    await world.sql(
        "UPDATE bookings SET starts_at = clock_timestamp() + interval '1 minute' WHERE id = :id", id=booking_id
    )
    mine, named = world.signed_in(budi), {"booking_id": str(booking_id)}
    moved = booking_pb2.RescheduleBookingRequest(**named, slot_id=str(await world.open_slot()))
    calls: list[Any] = [
        world.bookings.CancelBooking(booking_pb2.CancelBookingRequest(**named), metadata=mine),
        world.bookings.RescheduleBooking(moved, metadata=mine),
        world.bookings.CheckInBooking(booking_pb2.CheckInBookingRequest(**named), metadata=world.as_ani),
        world.bookings.MarkBookingNoShow(booking_pb2.MarkBookingNoShowRequest(**named), metadata=world.as_ani),
    ]
    assert [await reason(call) for call in calls] == ["CANCELLATION_IN_PROGRESS"] * 4


async def test_of_several_replicas_one_carries_it_out(world: World, undone: tuple[UUID, UUID], connect: Any) -> None:
    pools = [connect() for _ in range(4)]
    begun = await asyncio.gather(*(called_off.carry_out(pool, engine_on(pool)) for pool in pools))
    assert sum(begun) == 1
    [(status, by, refund, why)] = await world.sql(
        "SELECT status, cancelled_by, refund_amount, cancellation_reason FROM bookings"
    )
    assert (status, by, str(refund), why) == ("cancelled", "clinic", "150000.00", "Miko is well again")
    kinds = [row.saga_type for row in await world.sql("SELECT saga_type FROM sagas ORDER BY id")]
    assert kinds == ["cancellation", "clinic_cancellation"]


async def test_the_clinic_may_say_it_again_before(world: World, undone: tuple[UUID, UUID]) -> None:
    [reply] = await cancel(world, [cancelling(Caller(str(world.ani), Role.CLINIC), undone[0])])
    assert reply.booking.status == booking_pb2.BOOKING_STATUS_CANCELLED
    assert await called_off.carry_out(world.database, engine_on(world.database)) == 0


@pytest.mark.parametrize("word_first", [True, False])
async def test_of_a_word_and_an_undoing_at_one_instant_neither_is_lost(
    world: World, connect: Any, word_first: bool
) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    await cancel(world, [cancelling(customer(budi), booking_id)])
    ani, other = Caller(str(world.ani), Role.CLINIC), connect()

    async def word(tx: Any) -> None:
        said = CancellationRequest(caller=ani, about=booking_id, claim=None, reason="Doctor is ill")
        [reply] = await cancellation.request(tx, engine_on(other), [said])
        assert isinstance(reply, booking_pb2.CancelBookingResponse)

    async def undo(tx: Any) -> None:
        [row] = await world.sql("SELECT * FROM sagas WHERE saga_type = 'cancellation'")
        await cancellation.lift_lock(tx, saga_store.state_of(row))

    async def second(work: Any) -> None:
        async with other.transaction() as tx:
            await work(tx)

    async with world.database.transaction() as tx:
        await (word if word_first else undo)(tx)
        await tx.flush()
        later = asyncio.create_task(second(undo if word_first else word))
        await until_somebody_waits(world, 1)
    await later

    assert await called_off.carry_out(world.database, engine_on(world.database)) == (1 if word_first else 0)
    [(status, by)] = await world.sql("SELECT status, cancelled_by FROM bookings")
    assert (status, by) == ("cancelled", "clinic")


async def test_an_administrators_word_that_undoes_it_leaves_it_to_the_clinic(world: World) -> None:
    budi = new_id()
    booking_id = await world.book(budi, await world.open_slot())
    await cancel(world, [cancelling(customer(budi), booking_id)])
    await cancel(world, [cancelling(Caller(str(world.ani), Role.CLINIC), booking_id)])
    await world.sql("UPDATE sagas SET status = 'parked', due_at = NULL, step = 'submit_refund'")
    [(saga_id, version)] = await world.sql("SELECT id, version FROM sagas")
    resolve = booking_pb2.ResolveSagaRequest(
        saga_id=str(saga_id), expected_version=version, reason="the bank called", outcome="compensated"
    )
    await world.sagas.ResolveSaga(resolve, metadata=world.signed_in(new_id(), Role.ADMIN))

    assert await called_off.carry_out(world.database, engine_on(world.database)) == 1
    [(status, by)] = await world.sql("SELECT status, cancelled_by FROM bookings")
    assert (status, by) == ("cancelled", "clinic")
    assert await world.events("booking.cancellation_refused") == []


async def test_a_word_about_a_person_who_is_erased_is_forgotten(world: World, undone: tuple[UUID, UUID]) -> None:
    await erased(world, undone[1])
    assert [row[0] for row in await world.sql("SELECT called_off_reason FROM bookings")] == ["erased"]
