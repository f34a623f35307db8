"""What can be wrong, planted by hand: which statement in whose database, and which invariant must name whom."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Corruption:
    """`subject` and the statement's parameters are names of things that the test has made."""

    invariant: str
    service: str
    table: str
    subject: str
    plant: str


_ANOTHER_REFUND = """INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason)
    SELECT gen_random_uuid(), payment_id, booking_id, origin, amount, currency, status, reason FROM refunds
    WHERE booking_id = %(cancelled)s"""
_ANOTHER_REFUND_ON_ITS_WAY = _ANOTHER_REFUND.replace("status, reason FROM", "'submitted', reason FROM")
_ANOTHER_NOTIFICATION = """INSERT INTO notifications
    SELECT (jsonb_populate_record(n, jsonb_build_object('id', gen_random_uuid()))).* FROM notifications n
    WHERE booking_id = %(booked)s AND type = 'booking_confirmed'"""
_PARKED = """INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error)
    VALUES ('m', 'payment', 'petpro.commands.payment', '{}', '', 'what is this')"""

# fmt: off
CORRUPTIONS = tuple(Corruption(*each) for each in (
    ("seats-counted", "booking", "slots", "slot",
     "UPDATE slots SET booked_count = booked_count + 1 WHERE id = %(slot)s"),
    ("seats-counted", "booking", "reservations", "held_slot",
     "UPDATE reservations SET status = 'expired' WHERE id = %(hold)s"),
    ("seats-within-capacity", "booking", "slots", "slot", "UPDATE slots SET capacity = 0 WHERE id = %(slot)s"),
    ("staff-time-is-taken", "booking", "slots", "slot",
     "UPDATE slots SET staff_id = gen_random_uuid() WHERE id = %(slot)s"),
    ("staff-in-one-place", "booking", "slots", "slot",
     "UPDATE slots SET staff_id = %(customer)s, ends_at = ends_at + interval '90 minutes' "
     "WHERE id IN (%(slot)s, %(next_slot)s)"),
    ("holds-end-in-time", "booking", "reservations", "hold",
     "UPDATE reservations SET expires_at = CURRENT_TIMESTAMP - interval '1 hour' WHERE id = %(hold)s"),
    ("holds-sit-in-their-slots", "booking", "reservations", "hold",
     "UPDATE reservations SET starts_at = starts_at + interval '1 hour' WHERE id = %(hold)s"),
    ("bookings-come-from-their-holds", "booking", "reservations", "booked",
     "UPDATE reservations SET status = 'cancelled' WHERE booking_id = %(booked)s"),
    ("bookings-come-from-their-holds", "booking", "reservations", "booked",
     "UPDATE reservations SET booking_id = %(kept)s WHERE booking_id = %(booked)s"),
    ("confirmed-holds-became-bookings", "booking", "bookings", "booked_hold",
     "DELETE FROM bookings WHERE id = %(booked)s"),
    ("captured-money-has-a-booking", "booking", "bookings", "payment", "DELETE FROM bookings WHERE id = %(booked)s"),
    ("bookings-sit-in-their-slots", "booking", "bookings", "booked",
     "UPDATE bookings SET starts_at = starts_at + interval '1 hour' WHERE id = %(booked)s"),
    ("bookings-sit-in-their-slots", "booking", "bookings", "booked",
     "UPDATE bookings SET clinic_id = gen_random_uuid() WHERE id = %(booked)s"),
    ("reference-codes-name-their-bookings", "booking", "reference_codes", "booked",
     "UPDATE reference_codes SET booking_id = gen_random_uuid() WHERE booking_id = %(booked)s"),
    ("bookings-are-paid", "payment", "payments", "booked", "DELETE FROM payments WHERE id = %(payment)s"),
    ("bookings-are-paid", "payment", "payments", "booked",
     "UPDATE payments SET status = 'failed', captured = 0 WHERE id = %(payment)s"),
    ("bookings-are-paid", "booking", "bookings", "booked",
     "UPDATE bookings SET payment_id = %(cancelled_payment)s WHERE id = %(booked)s"),
    ("bookings-are-paid", "booking", "bookings", "booked",
     "UPDATE bookings SET payment_id = NULL WHERE id = %(booked)s"),
    ("entries-balance", "payment", "financial_entries", "fee",
     "UPDATE financial_entries SET platform_fee = platform_fee + 1 WHERE id = %(fee)s"),
    ("entries-belong-to-their-payments", "payment", "financial_entries", "fee",
     "UPDATE financial_entries SET clinic_id = gen_random_uuid() WHERE id = %(fee)s"),
    ("entries-belong-to-their-payments", "payment", "financial_entries", "fee",
     "UPDATE financial_entries SET booking_id = gen_random_uuid() WHERE id = %(fee)s"),
    ("entries-belong-to-their-payments", "payment", "refunds", "refund_entry",
     "UPDATE refunds SET payment_id = %(payment)s WHERE id = %(refund)s"),
    ("payments-count-their-refunds", "payment", "payments", "payment",
     "UPDATE payments SET refund_reserved = 1 WHERE id = %(payment)s"),
    ("payments-say-what-they-are", "payment", "payments", "cancelled_payment",
     "UPDATE payments SET status = 'success' WHERE id = %(cancelled_payment)s"),
    ("captured-is-what-was-ordered", "payment", "payments", "payment",
     "UPDATE payments SET captured = captured / 2 WHERE id = %(payment)s"),
    ("captured-is-what-was-ordered", "payment", "payments", "payment",
     "UPDATE payments SET captured = 0 WHERE id = %(payment)s"),
    ("ledger-keeps-what-payments-keep", "payment", "financial_entries", "payment",
     "DELETE FROM financial_entries WHERE id = %(fee)s"),
    ("refund-entries-follow-their-refunds", "payment", "refunds", "refund_entry",
     "UPDATE refunds SET amount = amount - 1 WHERE id = %(refund)s"),
    ("refund-entries-follow-their-refunds", "payment", "refunds", "refund_entry",
     "UPDATE refunds SET status = 'refused' WHERE id = %(refund)s"),
    ("refund-entries-follow-their-refunds", "payment", "refunds", "refund_entry",
     "UPDATE refunds SET status = 'pending' WHERE id = %(refund)s"),
    ("settlements-are-their-entries", "payment", "settlements", "settlement",
     "UPDATE settlements SET clinic_amount = clinic_amount + 1 WHERE id = %(settlement)s"),
    ("settlements-are-their-entries", "payment", "settlements", "settlement",
     "UPDATE settlements SET clinic_id = gen_random_uuid() WHERE id = %(settlement)s"),
    ("settlements-are-their-entries", "payment", "financial_entries", "settlement",
     "UPDATE financial_entries SET status = 'pending' WHERE id = %(fee)s"),
    ("settlements-are-their-entries", "payment", "journal_lines", "settlement",
     "UPDATE journal_lines SET amount = amount + 1 WHERE account = 'clinic_payable' "
     "AND transaction_id IN (SELECT id FROM journal_transactions WHERE source_id = %(settlement)s)"),
    ("settlements-are-their-entries", "payment", "money_operations", "settlement",
     "DELETE FROM money_operations WHERE subject_id = %(settlement)s"),
    ("what-was-taken-back-is-not-settled", "payment", "payments", "fee",
     "UPDATE payments SET quarantined_at = paid_at - interval '1 minute', quarantined_amount = -captured "
     "WHERE id = %(payment)s"),
    ("days-reconcile", "payment", "payments", "payment",
     "UPDATE payments SET captured = captured - 1 WHERE id = %(payment)s"),
    ("days-reconcile", "payment", "journal_lines", "payment",
     "UPDATE journal_lines SET amount = amount + 1 WHERE transaction_id = %(capture)s AND amount > 0"),
    ("journal-balances", "payment", "journal_lines", "capture",
     "UPDATE journal_lines SET amount = amount - 1 WHERE transaction_id = %(capture)s AND amount > 0"),
    ("journal-records-what-there-is", "payment", "journal_transactions", "capture",
     "UPDATE journal_transactions SET source_id = gen_random_uuid() WHERE id = %(capture)s"),
    ("journal-records-what-there-is", "payment", "journal_transactions", "capture",
     "UPDATE journal_transactions SET currency = 'USD' WHERE id = %(capture)s"),
    ("journal-holds-what-payments-hold", "payment", "journal_transactions", "payment",
     "DELETE FROM journal_transactions WHERE id = %(capture)s"),
    ("journal-shares-as-entries-do", "payment", "financial_entries", "refund_entry",
     "UPDATE financial_entries SET status = 'cancelled' WHERE id = %(refund_entry)s"),
    ("journal-shares-as-entries-do", "payment", "journal_lines", "fee",
     "UPDATE journal_lines SET amount = amount + 1 WHERE account = 'clinic_payable' "
     "AND transaction_id IN (SELECT id FROM journal_transactions WHERE source_id = %(fee)s)"),
    ("one-refund-a-booking", "payment", "refunds", "refund", _ANOTHER_REFUND),
    ("one-refund-a-booking", "payment", "refunds", "refund", _ANOTHER_REFUND_ON_ITS_WAY),
    ("open-payments-are-asked-about", "payment", "payments", "payment",
     "UPDATE payments SET status = 'processing', due_at = NULL WHERE id = %(payment)s"),
    ("open-payments-are-asked-about", "payment", "payments", "payment",
     "UPDATE payments SET status = 'processing', due_at = CURRENT_TIMESTAMP - interval '1 hour' "
     "WHERE id = %(payment)s"),
    ("open-refunds-are-asked-about", "payment", "refunds", "refund",
     "UPDATE refunds SET status = 'pending', due_at = NULL WHERE id = %(refund)s"),
    ("open-refunds-are-asked-about", "payment", "refunds", "refund",
     "UPDATE refunds SET status = 'pending', due_at = CURRENT_TIMESTAMP - interval '1 hour' WHERE id = %(refund)s"),
    ("cancellations-gave-their-refund", "booking", "bookings", "cancelled",
     "UPDATE bookings SET refund_amount = 1 WHERE id = %(cancelled)s"),
    ("cancellations-gave-their-refund", "payment", "refunds", "cancelled",
     "UPDATE refunds SET status = 'refused' WHERE id = %(refund)s"),
    ("refunds-follow-the-policy", "booking", "bookings", "kept",
     "UPDATE bookings SET refund_amount = 5 WHERE id = %(kept)s"),
    ("refunds-follow-the-policy", "booking", "bookings", "kept",
     "UPDATE bookings SET refund_floor = 50 WHERE id = %(kept)s"),
    ("refunds-follow-the-policy", "booking", "bookings", "cancelled",
     "UPDATE bookings SET refund_ceiling = 0 WHERE id = %(cancelled)s"),
    ("refunds-follow-the-policy", "booking", "bookings", "missed",
     "UPDATE bookings SET refund_floor = 50 WHERE id = %(missed)s"),
    ("refunds-follow-the-policy", "booking", "bookings", "missed",
     "UPDATE bookings SET refund_amount = 0 WHERE id = %(missed)s"),
    ("cancellations-gave-their-refund", "booking", "bookings", "missed",
     "UPDATE bookings SET refund_amount = 0 WHERE id = %(missed)s"),
    ("bookings-heard-of-their-refund", "booking", "bookings", "refund",
     "UPDATE bookings SET refund_status = 'pending' WHERE id = %(cancelled)s"),
    ("sagas-move-on", "booking", "sagas", "saga",
     "UPDATE sagas SET status = 'running', due_at = NULL WHERE id = %(saga)s"),
    ("sagas-move-on", "booking", "sagas", "saga",
     "UPDATE sagas SET status = 'running', due_at = CURRENT_TIMESTAMP - interval '1 hour' WHERE id = %(saga)s"),
    ("checkouts-have-sagas", "booking", "sagas", "waiting",
     "DELETE FROM sagas WHERE data->>'reservation_id' = %(waiting)s"),
    ("checkouts-have-sagas", "booking", "reservations", "waiting",
     "UPDATE reservations SET checkout_status = 'awaiting_payment', checkout_saga_id = gen_random_uuid() "
     "WHERE id = %(waiting)s"),
    ("cancellations-have-sagas", "booking", "bookings", "kept",
     "UPDATE bookings SET cancellation_status = 'requested' WHERE id = %(kept)s"),
    ("called-off-is-cancelled", "booking", "bookings", "booked",
     "UPDATE bookings SET called_off_reason = '' WHERE id = %(booked)s"),
    ("bookings-and-cancellations-agree", "booking", "bookings", "kept",
     "UPDATE bookings SET status = 'confirmed' WHERE id = %(kept)s"),
    ("captures-agree-with-lists", "payment", "payments", "payment",
     "UPDATE payments SET provider = 'stripe' WHERE id = %(payment)s"),
    ("refunds-agree-with-lists", "payment", "payments", "refund",
     "UPDATE payments SET provider = 'stripe' WHERE id = (SELECT payment_id FROM refunds WHERE id = %(refund)s)"),
    ("payments-agree-with-the-provider", "payment", "payments", "payment",
     "UPDATE payments SET external_reference = 'pi_gone' WHERE id = %(payment)s"),
    ("payments-agree-with-the-provider", "payment", "payments", "payment",
     "UPDATE payments SET captured = captured / 2 WHERE id = %(payment)s"),
    ("charges-are-ours", "payment", "payments", "payment",
     "UPDATE payments SET status = 'failed', captured = 0 WHERE id = %(payment)s"),
    ("returns-are-ours", "payment", "refunds", "refund",
     "UPDATE refunds SET status = 'released' WHERE id = %(refund)s"),
    ("returns-are-ours", "payment", "refunds", "refund",
     "UPDATE refunds SET amount = amount - 1 WHERE id = %(refund)s"),
    ("messages-leave", "booking", "outbox", "message",
     "UPDATE outbox SET published_at = NULL, created_at = CURRENT_TIMESTAMP - interval '1 hour' "
     "WHERE id = %(confirmed_event)s"),
    ("messages-are-handled", "payment", "parked_messages", "parked", _PARKED),
    ("customers-are-told-once", "notification", "notifications", "message",
     "DELETE FROM notifications WHERE booking_id = %(booked)s"),
    ("customers-are-told-once", "notification", "notifications", "message", _ANOTHER_NOTIFICATION),
    ("mails-are-sent", "notification", "deliveries", "mail",
     "UPDATE deliveries SET status = 'pending', sent_at = NULL, due_at = CURRENT_TIMESTAMP - interval '1 hour' "
     "WHERE id = %(mail)s"),
))

# Each changes one row, and breaks what holds of another, which says of no change; or only time has passed.
CHANGES = tuple(Corruption(*each) for each in (
    ("seats-counted", "booking", "reservations", "held_slot",
     "UPDATE reservations SET status = 'expired', updated_at = CURRENT_TIMESTAMP WHERE id = %(hold)s"),
    ("seats-counted", "booking", "bookings", "slot",
     "UPDATE bookings SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP WHERE id = %(booked)s"),
    ("holds-end-in-time", "booking", "reservations", "hold",
     "UPDATE reservations SET expires_at = CURRENT_TIMESTAMP - interval '1 hour' WHERE id = %(hold)s"),
    ("holds-sit-in-their-slots", "booking", "slots", "hold",
     "UPDATE slots SET starts_at = starts_at - interval '1 minute', updated_at = CURRENT_TIMESTAMP "
     "WHERE id = %(held_slot)s"),
    ("bookings-come-from-their-holds", "booking", "reservations", "booked",
     "UPDATE reservations SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP WHERE booking_id = %(booked)s"),
    ("checkouts-have-sagas", "booking", "sagas", "waiting",
     "UPDATE sagas SET status = 'completed', updated_at = CURRENT_TIMESTAMP "
     "WHERE data->>'reservation_id' = %(waiting)s"),
    ("sagas-move-on", "booking", "sagas", "saga",
     "UPDATE sagas SET status = 'running', due_at = NULL WHERE id = %(saga)s"),
    ("captured-money-has-a-booking", "booking", "bookings", "payment",
     "UPDATE bookings SET amount = amount + 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(booked)s"),
    ("bookings-are-paid", "payment", "payments", "booked",
     "UPDATE payments SET amount = amount + 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(payment)s"),
    ("cancellations-gave-their-refund", "payment", "refunds", "cancelled",
     "UPDATE refunds SET amount = amount - 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(refund)s"),
    ("payments-count-their-refunds", "payment", "refunds", "cancelled_payment",
     "UPDATE refunds SET amount = amount - 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(refund)s"),
    ("refund-entries-follow-their-refunds", "payment", "refunds", "refund_entry",
     "UPDATE refunds SET amount = amount - 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(refund)s"),
    ("ledger-keeps-what-payments-keep", "payment", "financial_entries", "payment",
     "UPDATE financial_entries SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP WHERE id = %(fee)s"),
    ("settlements-are-their-entries", "payment", "financial_entries", "settlement",
     "UPDATE financial_entries SET clinic_amount = 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(fee)s"),
    ("days-reconcile", "payment", "payments", "payment",
     "UPDATE payments SET refund_done = 1 WHERE id = %(payment)s"),
    ("journal-holds-what-payments-hold", "payment", "payments", "payment",
     "UPDATE payments SET refund_done = 1, updated_at = CURRENT_TIMESTAMP WHERE id = %(payment)s"),
    ("journal-shares-as-entries-do", "payment", "financial_entries", "fee",
     "UPDATE financial_entries SET status = 'cancelled', updated_at = CURRENT_TIMESTAMP WHERE id = %(fee)s"),
    ("open-refunds-are-asked-about", "payment", "refunds", "refund",
     "UPDATE refunds SET status = 'pending', due_at = NULL WHERE id = %(refund)s"),
    ("messages-leave", "booking", "outbox", "message",
     "UPDATE outbox SET published_at = NULL, created_at = CURRENT_TIMESTAMP - interval '1 hour' "
     "WHERE id = %(confirmed_event)s"),
))

HIDDEN = tuple(Corruption(*each) for each in (
    ("captured-money-has-a-booking", "payment", "payments", "payment",
     "UPDATE payments SET captured = captured / 2 WHERE id = %(payment)s"),
    ("sagas-move-on", "booking", "sagas", "saga", "UPDATE sagas SET status = 'running' WHERE id = %(saga)s"),
))
"""While the second stands, the first cannot be judged."""
# fmt: on

ELSEWHERE = Corruption(
    "days-reconcile", "payment", "payments", "payment",
    """INSERT INTO payments (id, booking_id, user_id, clinic_id, provider, external_reference, amount, currency,
        payment_method, status, paid_at, captured, updated_at)
    SELECT gen_random_uuid(), booking_id, user_id, clinic_id, 'stripe', 'pi_elsewhere', amount, currency,
        payment_method, status, paid_at, captured, updated_at FROM payments WHERE id = %(payment)s""",
)  # fmt: skip
"""No corruption of this invariant: taken by a provider whose list another one holds it against."""
