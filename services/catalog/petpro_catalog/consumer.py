"""What the catalog hears: which bookings were completed, for these may be reviewed, and who was erased."""

from petpro_catalog import events, store_reviews
from petpro_catalog.erasure import forget
from petpro_common.db import Transaction
from petpro_common.messaging.consumer import Unprocessable
from petpro_common.messaging.events import Event
from petpro_common.personal.erasure import erased


async def booking_completed(tx: Transaction, event: Event) -> None:
    """Remembers the booking. An event that does not say what it must is set aside."""
    try:
        booking = events.booking_completed(event)
    except (KeyError, TypeError, ValueError) as fault:
        raise Unprocessable("booking.completed lacks what it must say") from fault
    store_reviews.add_completed_booking(tx, booking)


HANDLERS = {"booking.completed": booking_completed, "user.erased": erased(forget)}
