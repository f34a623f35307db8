"""Promise 2, between booking and payment: what is kept belongs to a booking, and what is booked is paid.

Two databases are never read at one instant. So a payment or booking that changed within the grace is left out, and so
is whatever a saga still works on or waits for a person with; and the runner looks at each suspect again.
"""

from decimal import Decimal

from petproctl.audit.databases import Row
from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant

_GIVES_BACK = ("cancelled", "no-show")
_BOOKINGS = """
    SELECT b.id, payment_id, amount, status, refund_amount, refund_status FROM unnest(%(ids)s::uuid[]) AS wanted (id)
    JOIN bookings b ON b.id = wanted.id AND b.created_at = uuid_extract_timestamp(wanted.id)
"""
_PRICES = "SELECT id, payment_id, amount, status, refund_amount FROM batch ORDER BY id"
_PAYMENTS = """
    SELECT id, booking_id, amount, status, captured, refund_reserved, refund_done FROM payments WHERE id = ANY(%(ids)s)
"""
_AT_CLINIC = "SELECT booking_id FROM payments WHERE booking_id = ANY(%(ids)s) AND status = 'at_clinic'"
_REFUNDS = """
    SELECT booking_id, sum(amount) AS given FROM refunds
    WHERE payment_id = ANY(%(ids)s) AND status NOT IN ('refused', 'released') GROUP BY booking_id
"""


@invariant(2)
def captured_money_has_a_booking(look: Look) -> Findings:
    """A payment keeps what its booking is due: nothing without one, else the price, less what that gives back.

    A cancellation does, and a no-show what its fee leaves.
    """
    statement = """SELECT id, booking_id, captured, captured - refund_reserved - refund_done AS kept
        FROM batch ORDER BY id"""
    for rows in look.batches("payment", "payments", statement, settled=True):
        paid = [row for row in rows if row["captured"]]
        found = look.rows("booking", _BOOKINGS, ids=[row["booking_id"] for row in paid])
        due = {row["id"]: _kept(row) for row in found}
        suspects = [row for row in paid if row["kept"] != due.get(row["booking_id"], Decimal(0))]
        for row in look.at_rest(suspects, "booking_id"):
            booking = row["booking_id"]
            expected = f"is due {due[booking]}" if booking in due else "does not exist"
            yield str(row["id"]), f"keeps {row['kept']}, its booking {booking} {expected}"


@invariant(2)
def bookings_are_paid(look: Look) -> Findings:
    """A booking has a payment of exactly its price that was captured. One of no price has a payment that succeeded.

    One without a payment is paid at the clinic, as payment has noted.
    """
    for rows in look.batches("booking", "bookings", _PRICES, settled=True):
        found = look.rows("payment", _PAYMENTS, ids=[row["payment_id"] for row in rows if row["payment_id"]])
        payments = {row["id"]: row for row in found}
        noted = look.rows("payment", _AT_CLINIC, ids=[row["id"] for row in rows if not row["payment_id"]])
        at_clinic = {row["booking_id"] for row in noted}
        elsewhere = [row for row in rows if row["payment_id"] or row["id"] not in at_clinic]
        suspects = [row for row in elsewhere if not _is_paid(row, payments.get(row["payment_id"]))]
        for row in look.at_rest(suspects, "id"):
            yield str(row["id"]), f"costs {row['amount']}, and payment {row['payment_id']} did not take that"


@invariant(4)
def cancellations_gave_their_refund(look: Look) -> Findings:
    """A cancelled booking or a no-show has given back what it says, no other booking anything.

    What the bank sent back counts as given, and waits for a person on both sides.
    """
    for rows in look.batches("booking", "bookings", _PRICES, settled=True):
        found = look.rows("payment", _REFUNDS, ids=[row["payment_id"] for row in rows if row["payment_id"]])
        given = {row["booking_id"]: row["given"] for row in found}
        suspects = [row for row in rows if given.get(row["id"], Decimal(0)) != row["amount"] - _kept(row)]
        for row in look.at_rest(suspects, "id"):
            yield str(row["id"]), f"gave {given.get(row['id'], 0)} back, and says {row['amount'] - _kept(row)}"


@invariant(5)
def bookings_heard_of_their_refund(look: Look) -> Findings:
    """A booking shows its refund as succeeded or manual once payment has told so. The event has the grace to arrive."""
    statement = "SELECT id, booking_id, status, origin FROM batch ORDER BY id"
    for rows in look.batches("payment", "refunds", statement, settled=True):
        ended = [row for row in rows if row["origin"] == "cancellation" and row["status"] in ("succeeded", "manual")]
        found = look.rows("booking", _BOOKINGS, ids=[row["booking_id"] for row in ended])
        shown = {row["id"]: row["refund_status"] for row in found if row["status"] in _GIVES_BACK}
        suspects = [row for row in ended if shown.get(row["booking_id"], row["status"]) != row["status"]]
        for row in look.at_rest(suspects, "booking_id"):
            yield str(row["id"]), f"is {row['status']}, its booking shows {shown[row['booking_id']]}"


def _kept(booking: Row) -> Decimal:
    gone = booking["refund_amount"] if booking["status"] in _GIVES_BACK else 0
    return Decimal(booking["amount"] - (gone or 0))


def _is_paid(booking: Row, payment: Row | None) -> bool:
    return (
        payment is not None
        and payment["booking_id"] == booking["id"]
        and payment["amount"] == booking["amount"]
        and payment["status"] in ("success", "refunded", "partially_refunded")
    )
