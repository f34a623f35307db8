"""Which rows of payment are about a person, and what they are told of them."""

from petpro_common.personal.held import Held

_OF_THEIR_PAYMENTS = "payment_id IN (SELECT id FROM payments WHERE user_id = :user_id)"

HELD = (
    Held(
        "payments",
        "id, booking_id, user_id, clinic_id, provider, external_reference, amount, currency, payment_method, status,"
        " failure_reason, deadline, paid_at, captured, refund_reserved, refund_done, quarantined_at,"
        " quarantined_amount, quarantined_currency, quarantine_closed_at, created_at, updated_at",
        secrets="payment_token, payment_details, command_id, cancel_requested_at, cancel_command_id, attempts,"
        " asked_at, due_at, trace",
    ),
    Held(
        "refunds",
        "id, payment_id, booking_id, origin, amount, currency, status, reason, must_succeed, external_reference,"
        " failure_reason, paid_out_reference, created_at, updated_at, unknown_since, reversed_at, state",
        secrets="command_id, settle_command_id, settle_entry_id, attempts, due_at, retries, trace",
        theirs=_OF_THEIR_PAYMENTS,
    ),
    Held(
        "financial_entries",
        "id, booking_id, clinic_id, payment_id, refund_id, type, total_amount, platform_fee, clinic_amount,"
        " tax_amount, currency, status, settlement_date, settlement_id, created_at, updated_at",
        theirs=_OF_THEIR_PAYMENTS,
    ),
    Held("clinic_members", "source_id, clinic_id, user_id, version", key="source_id"),
)
