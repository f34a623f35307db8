"""How many bookings to come that nobody has paid for one person may have.

A hold costs nothing, and what turns it into a booking at no cost, to pay at the clinic, would let one person keep seats
beyond the bound on holds. What counts is what is confirmed without a payment and has not begun, and what is on its way
to that: a checkout in flight whose hold lasts. One whose hold has run out meanwhile has no seat, and no place either:
it takes both again when it comes to be confirmed (docs/adr/0028-so-many-holds-a-person.md).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from petpro_booking import store_unpaid
from petpro_booking.domain import TooManyUnpaidBookings
from petpro_common.db import Row, Transaction

AT_CLINIC = "pay_at_clinic"
"""The method by which payment leaves the money to the clinic."""
_SHORTEST_WAIT_SECONDS = 1.0


async def refusals(tx: Transaction, reservations: Sequence[Row], most: int) -> Mapping[UUID, TooManyUnpaidBookings]:
    """Which of these, that are to be paid at the clinic and do not count yet, would be one too many; by their ids.

    First come, first served. The caller holds their row locks, and makes those not refused count in this transaction.
    """
    if not reservations:
        return {}
    begin = await store_unpaid.seconds_to_begin(tx, (each.user_id for each in reservations), most)
    to_come = {user_id: sorted(seconds, reverse=True) for user_id, seconds in begin.items()}
    refused: dict[UUID, TooManyUnpaidBookings] = {}
    for reservation in reservations:
        theirs = to_come[reservation.user_id]
        if len(theirs) >= most:
            wait = timedelta(seconds=max(theirs[most - 1], _SHORTEST_WAIT_SECONDS))
            refused[reservation.id] = TooManyUnpaidBookings(most, wait)
        else:
            theirs.append((reservation.starts_at - reservation.now).total_seconds())
            theirs.sort(reverse=True)
    return refused
