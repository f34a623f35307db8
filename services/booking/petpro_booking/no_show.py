"""Nobody came: confirmed becomes no-show, and what the policy leaves of the price goes back.

The status, what goes back, and the saga that brings it (`saga.NO_SHOW`) are of one transaction. A saga that is begun
goes through whatever the provider says, as a clinic's cancellation does. Where nothing goes back there is none.
"""

from uuid import UUID

from petpro_booking import bookings, cancellation, events, refund_policy, store
from petpro_booking.domain import must_be, must_have_begun
from petpro_booking.saga import NO_SHOW
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.saga import SagaEngine


async def mark(tx: Transaction, engine: SagaEngine, caller: Caller, booking_id: UUID) -> Row:
    """Notes, for the clinic and once the start has passed, that nobody came.

    Raises BookingHasNotBegun, and as `bookings.lock_for_clinic` and `must_be` do.
    """
    booking = await bookings.lock_for_clinic(tx, caller, booking_id)
    must_be("confirmed", booking)
    must_have_begun(booking.starts_at, booking.now)
    price = cancellation.paid(booking)
    refund = refund_policy.no_show_refund(price, booking.cancellation_policy, refund_policy.bounds_of(booking))
    marked = await store.mark_no_show(tx, booking_id, refund.amount)
    events.booking_no_show(tx, marked)
    if refund.amount:
        data = {**cancellation.refund_data(booking, refund), "must_succeed": True, "reason": "no-show"}
        await engine.start(tx, NO_SHOW.type, f"no_show:{booking_id}", data)
    return marked
