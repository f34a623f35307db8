"""The steps' statements for several sagas at once, as PetPro's engine hands them to a step.

What a row is given, what it is held to and what becomes of it is as in `steps`, whose statement does it for one saga
alone. Rows are come upon in the order of their bookings, so that two batches do not wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import text

from bench.peers import steps
from petpro_common.wire import BoundStatement

# Tables are bounded by the ids once more: a plan that was made while one was empty would walk all of it for each row.
_SEVERAL: Mapping[str, str] = {
    "request": """
        UPDATE bookings SET cancellation_status = 'requested', cancellation_count = cancellation_count + 1,
            refund_amount = given.amount, refund_status = 'pending', updated_at = clock_timestamp()
        FROM unnest(CAST(:booking AS uuid[]), CAST(:amount AS numeric[])) AS given(booking, amount)
        WHERE bookings.id = given.booking AND bookings.id = ANY(CAST(:booking AS uuid[])) AND status = 'confirmed'""",
    "reserve_refund": """
        WITH payment AS (
            UPDATE payments SET refund_reserved = refund_reserved + given.amount, updated_at = clock_timestamp()
            FROM unnest(CAST(:payment AS uuid[]), CAST(:refund AS uuid[]), CAST(:booking AS uuid[]),
                        CAST(:amount AS numeric[])) AS given(payment, refund, booking, amount)
            WHERE payments.id = given.payment AND payments.id = ANY(CAST(:payment AS uuid[]))
                AND refund_reserved + refund_done + given.amount <= captured
            RETURNING given.refund, payments.id, given.booking, given.amount)
        INSERT INTO refunds (id, payment_id, booking_id, amount, status, updated_at)
        SELECT refund, id, booking, amount, 'reserved', clock_timestamp() FROM payment""",
    "post_refund_entry": """
        INSERT INTO financial_entries (id, booking_id, clinic_id, refund_id, total_amount, status)
        SELECT given.entry, bookings.id, clinic_id, given.refund, -given.amount, 'pending'
        FROM unnest(CAST(:entry AS uuid[]), CAST(:booking AS uuid[]), CAST(:refund AS uuid[]),
                    CAST(:amount AS numeric[])) AS given(entry, booking, refund, amount), bookings
        WHERE bookings.id = given.booking AND bookings.id = ANY(CAST(:booking AS uuid[]))""",
    # Of bookings in one slot each frees its seat.
    "cancel_booking": """
        WITH booking AS (
            UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled',
                cancellation_reason = 'the pet is well again', updated_at = clock_timestamp()
            FROM unnest(CAST(:booking AS uuid[]), CAST(:amount AS numeric[])) AS given(booking, amount)
            WHERE bookings.id = given.booking AND bookings.id = ANY(CAST(:booking AS uuid[]))
            RETURNING bookings.id, slot_id, given.amount),
        seat AS (
            UPDATE slots SET booked_count = booked_count - freed.seats
            FROM (SELECT slot_id, count(*) AS seats FROM booking GROUP BY slot_id ORDER BY slot_id) AS freed
            WHERE slots.id = freed.slot_id)
        INSERT INTO events (booking_id, type, body)
        SELECT id, 'booking.cancelled', jsonb_build_object('booking_id', id, 'refund_amount', amount) FROM booking""",
    "settle_refund": """
        WITH refund AS (
            UPDATE refunds SET status = 'succeeded', updated_at = clock_timestamp()
            FROM unnest(CAST(:refund AS uuid[]), CAST(:entry AS uuid[])) AS given(refund, entry)
            WHERE refunds.id = given.refund AND refunds.id = ANY(CAST(:refund AS uuid[]))
            RETURNING refunds.id, payment_id, amount, given.entry),
        payment AS (
            UPDATE payments SET refund_reserved = refund_reserved - refund.amount,
                refund_done = refund_done + refund.amount, updated_at = clock_timestamp()
            FROM refund WHERE payments.id = refund.payment_id)
        UPDATE financial_entries SET status = 'settled', settlement_date = clock_timestamp()
        FROM refund
        WHERE financial_entries.id = refund.entry AND financial_entries.id = ANY(CAST(:entry AS uuid[]))
            AND financial_entries.refund_id = refund.id""",
}
_ONE = {step: text(statement) for step, statement in steps.statements(guarded=False).items()}
_ALL = {step: text(statement) for step, statement in _SEVERAL.items()}
_TOLD = {step: tuple(statement.compile().params) for step, statement in _ONE.items()}


def bound(step: str, numbers: Iterable[int]) -> BoundStatement:
    """What a step has PostgreSQL do for these bookings."""
    in_order = sorted(numbers)
    if len(in_order) == 1:
        return _ONE[step], {name: steps.parameter(name, in_order[0]) for name in _TOLD[step]}
    return _ALL[step], {name: [steps.parameter(name, number) for number in in_order] for name in _TOLD[step]}
