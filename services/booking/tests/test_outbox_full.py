"""While too much waits to be told to the others, nothing new is begun, and what was begun comes to its end."""

from petpro.booking.v1 import booking_pb2
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from services.booking.tests.world import World, reason


async def test_a_hold_is_refused_and_leaves_nothing_while_a_cancellation_is_taken(world: World) -> None:
    sari, budi, slot_id = new_id(), new_id(), await world.open_slot(capacity=2)
    held = await world.hold(sari, slot_id)
    booking_id = await world.book(sari, await world.open_slot())
    backlog = Backlog(world.database, limit=1)
    await backlog.look()
    assert await reason(world.hold(budi, slot_id, request_id="first-try")) == "OUTBOX_FULL"
    assert (await world.seats(slot_id))[0] == 1
    assert await world.sql("SELECT 1 FROM idempotency_keys WHERE key = 'first-try'") == []

    end = booking_pb2.CancelReservationRequest(reservation_id=held.id)
    await world.reservations.CancelReservation(end, metadata=world.signed_in(sari))
    assert (await world.seats(slot_id))[0] == 0
    cancel = booking_pb2.CancelBookingRequest(booking_id=str(booking_id), reason="Milo is well again")
    await world.bookings.CancelBooking(cancel, metadata=world.signed_in(sari))

    await world.sql("UPDATE outbox SET published_at = now(), stream = 'PETPRO_EVENTS', stream_seq = id")
    await backlog.look()
    assert (await world.hold(budi, slot_id, request_id="first-try")).slot_id == str(slot_id)
