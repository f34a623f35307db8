"""The steps of a cancellation as the peers run them: ids, statements, the provider's call.

Unguarded statements do twice what is asked for twice: where the engine promises once, `survival.py` counts what becomes
of it. Guarded ones do it once, for engines that promise at least once. The provider's call has its idempotency key.
Every statement is one round trip, so that no peer pays for chattiness.
"""

import asyncio
import functools
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import aiohttp

SLOTS = 1000
STEPS = ("request", "reserve_refund", "post_refund_entry", "submit_refund", "cancel_booking", "settle_refund")
SUBMIT = "submit_refund"
AMOUNT = Decimal("75000.00")
"""What goes back: half of the price."""

_WRITES: Mapping[str, str] = {
    # Sets the semantic lock; a booking that is not confirmed is left alone.
    "request": """
        UPDATE bookings SET cancellation_status = 'requested', cancellation_count = cancellation_count + 1,
            refund_amount = CAST(:amount AS numeric), refund_status = 'pending', updated_at = clock_timestamp()
        WHERE id = :booking AND status = 'confirmed'{once}""",
    # Takes the row lock of the payment, and never sets aside more than was captured.
    "reserve_refund": """
        WITH payment AS (
            UPDATE payments SET refund_reserved = refund_reserved + CAST(:amount AS numeric),
                updated_at = clock_timestamp()
            WHERE id = :payment AND refund_reserved + refund_done + CAST(:amount AS numeric) <= captured{once}
            RETURNING id)
        INSERT INTO refunds (id, payment_id, booking_id, amount, status, updated_at)
        SELECT CAST(:refund AS uuid), id, CAST(:booking AS uuid), CAST(:amount AS numeric), 'reserved',
            clock_timestamp()
        FROM payment""",
    "post_refund_entry": """
        INSERT INTO financial_entries (id, booking_id, clinic_id, refund_id, total_amount, status)
        SELECT CAST(:entry AS uuid), id, clinic_id, CAST(:refund AS uuid), -CAST(:amount AS numeric), 'pending'
        FROM bookings WHERE id = :booking{once}""",
    # Booking, seat and event at once.
    "cancel_booking": """
        WITH booking AS (
            UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled',
                cancellation_reason = 'the pet is well again', updated_at = clock_timestamp()
            WHERE id = :booking{once} RETURNING id, slot_id),
        seat AS (
            UPDATE slots SET booked_count = booked_count - 1 FROM booking WHERE slots.id = booking.slot_id)
        INSERT INTO events (booking_id, type, body)
        SELECT id, 'booking.cancelled', jsonb_build_object('booking_id', id, 'refund_amount', CAST(:amount AS numeric))
        FROM booking""",
    # The provider has given the money: refund, payment and entry say so. The entry is found by its own id: nothing
    # indexes it by its refund, and to walk all of them grew with every saga that had ended.
    "settle_refund": """
        WITH refund AS (
            UPDATE refunds SET status = 'succeeded', updated_at = clock_timestamp()
            WHERE id = :refund{once} RETURNING id, payment_id, amount),
        payment AS (
            UPDATE payments SET refund_reserved = refund_reserved - refund.amount,
                refund_done = refund_done + refund.amount, updated_at = clock_timestamp()
            FROM refund WHERE payments.id = refund.payment_id)
        UPDATE financial_entries SET status = 'settled', settlement_date = clock_timestamp()
        FROM refund WHERE financial_entries.id = :entry AND financial_entries.refund_id = refund.id""",
}

_KINDS = {"booking": 1, "payment": 2, "refund": 3, "entry": 4}

_ONCE: Mapping[str, str] = {
    "request": " AND cancellation_status = 'none'",
    "reserve_refund": " AND NOT EXISTS (SELECT FROM refunds WHERE refunds.id = :refund)",
    "post_refund_entry": " AND NOT EXISTS (SELECT FROM financial_entries WHERE financial_entries.id = :entry)",
    "cancel_booking": " AND status <> 'cancelled'",
    "settle_refund": " AND status <> 'succeeded'",
}


def statements(*, guarded: bool) -> Mapping[str, str]:
    """The statement of each step that writes, with named parameters."""
    return {step: write.format(once=_ONCE[step] if guarded else "") for step, write in _WRITES.items()}


def identity(kind: int, number: int) -> UUID:
    """The id of the `number`-th booking (1), payment (2), refund (3), entry (4) or slot (5)."""
    return UUID(int=kind << 120 | number)


def parameter(name: str, number: int) -> UUID | Decimal:
    """What a statement is told about the `number`-th booking by one of its parameters."""
    return AMOUNT if name == "amount" else identity(_KINDS[name], number)


def parameters(number: int) -> dict[str, UUID | Decimal]:
    """What the statements are told about the `number`-th booking."""
    return {name: parameter(name, number) for name in (*_KINDS, "amount")}


@functools.cache
def _provider(_: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
    """The payment sandbox as payment calls it. A session belongs to one event loop, and DBOS runs workflows on two."""
    return aiohttp.ClientSession(
        os.environ["PEER_PROVIDER_URL"],
        headers={"Authorization": f"Bearer {os.environ['PEER_PROVIDER_KEY']}"},
        connector=aiohttp.TCPConnector(limit=64),
        timeout=aiohttp.ClientTimeout(connect=5.0, sock_read=5.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        raise_for_status=True,
    )


@functools.cache
def _payments() -> Sequence[str]:
    return os.environ["PEER_INTENTS"].split()


async def submit_refund(number: int) -> str:
    """Has the provider give the money back, once under the refund's id (and whose it is); what it calls the refund."""
    refund = f"{os.environ['PEER_NAME']}-{identity(3, number)}"
    body = {
        "payment_intent": _payments()[number % len(_payments())],
        "amount": str(AMOUNT),
        "reference": refund,
        "reason": "peer",
    }
    provider = _provider(asyncio.get_running_loop())
    async with provider.post("/v1/refunds", json=body, headers={"Idempotency-Key": refund}) as answer:
        return str((await answer.json())["id"])
