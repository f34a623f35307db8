"""What holds at every quiet moment, whatever was killed. The numbers are those of docs/operations.md#audit.

1. Seats taken = live reservations and bookings, never above capacity; no person is in two places at once.
2. Every captured payment belongs to a booking, or was given back.
3. Captured - refunded = what the ledger says; every entry balances; the provider's own records agree.
4. A cancelled booking or a no-show has one refund at the most, of exactly the policy's amount; every saga has ended.
5. Every event reached its effect once: one notification for each thing told, one mail for each notification.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

from devstack.api import Json
from devstack.layout import SERVICES
from tests.waiting import PATIENCE_SECONDS
from tests.world import World

Check = Callable[[World], Awaitable[list[str]]]

TELLS = {
    "booking": {
        "booking.confirmed": "booking_confirmed",
        "booking.cancelled": "booking_cancelled",
        "booking.cancellation_refused": "cancellation_refused",
        "booking.rescheduled": "booking_rescheduled",
        "booking.reminder_due": "booking_reminder",
        "booking.completed": "booking_completed",
        "booking.no_show": "booking_no_show",
    },
    "payment": {"refund.succeeded": "refund_settled", "refund.manual": "refund_delayed"},
}
"""Which events about a booking make which notification, by the service that tells them."""

_SEATS = """
    SELECT id, capacity, booked_count,
        (SELECT count(*) FROM reservations WHERE slot_id = slots.id AND reservations.status = 'pending') +
        (SELECT count(*) FROM bookings WHERE slot_id = slots.id AND bookings.status <> 'cancelled') AS taken
    FROM slots WHERE clinic_id = ANY(%(clinics)s)
"""
_TWO_PLACES = """
    SELECT one.slot_id FROM staff_occupancy one JOIN staff_occupancy other USING (staff_id)
    JOIN slots ON slots.id = one.slot_id
    WHERE one.slot_id <> other.slot_id AND one.during && other.during AND slots.clinic_id = ANY(%(clinics)s)
"""
_BOOKINGS = """
    SELECT id, payment_id, amount, status, cancellation_status, refund_amount, refund_status
    FROM bookings WHERE clinic_id = ANY(%(clinics)s)
"""
_PAYMENTS = """
    SELECT id, booking_id, external_reference, status, amount, captured, refund_reserved, refund_done,
        (SELECT coalesce(sum(amount), 0) FROM refunds WHERE payment_id = payments.id AND status = 'succeeded'
            AND paid_out_reference IS NOT NULL) AS paid_by_hand
    FROM payments WHERE clinic_id = ANY(%(clinics)s)
"""
_REFUNDS = """
    SELECT refunds.* FROM refunds JOIN payments ON payments.id = refunds.payment_id
    WHERE clinic_id = ANY(%(clinics)s) AND refunds.status NOT IN ('refused', 'released')
"""
_LEDGER = """
    SELECT booking_id, total_amount, platform_fee + clinic_amount + tax_amount AS shares
    FROM financial_entries WHERE clinic_id = ANY(%(clinics)s) AND status <> 'cancelled'
"""
_SAGAS = """
    SELECT business_key, status, step FROM sagas
    WHERE data->>'clinic_id' = ANY(%(names)s) AND status NOT IN ('completed', 'compensated')
"""
_UNDER_WAY = """
    SELECT id FROM payments WHERE clinic_id = ANY(%(clinics)s) AND status IN ('pending', 'processing', 'unknown')
    UNION ALL
    SELECT refunds.id FROM refunds JOIN payments ON payments.id = refunds.payment_id
    WHERE clinic_id = ANY(%(clinics)s) AND refunds.status IN ('reserved', 'submitted', 'pending')
"""
_TOLD = """
    SELECT event->>'booking_id' AS booking_id, event->>'event_type' AS event_type, published_at IS NOT NULL AS published
    FROM (SELECT published_at, convert_from(payload, 'UTF8')::jsonb AS event
          FROM outbox WHERE subject LIKE 'petpro.events.%%') AS events
    WHERE event->>'clinic_id' = ANY(%(names)s)
"""
_NOTIFICATIONS = """
    SELECT notifications.booking_id::text, notifications.type,
        CASE WHEN deliveries.reason = 'nobody to write to' AND user_id IN (SELECT user_id FROM erased_users)
            THEN 'sent' ELSE deliveries.status END AS status
    FROM notifications
    LEFT JOIN deliveries ON deliveries.notification_id = notifications.id
    WHERE booking_id = ANY(%(bookings)s)
"""

PLANTED = "planted:"
"""How the ids of parked messages begin that a test has set aside itself."""
_PARKED = "SELECT subject, error FROM parked_messages WHERE NOT starts_with(message_id, %(planted)s)"


async def hold(world: World, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until nothing of the test's clinics is under way, then assert that everything holds."""
    deadline = time.monotonic() + seconds
    while (unrest := await _of(world, AT_REST)) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    broken = unrest or await _of(world, CHECKS)
    assert broken == [], "\n".join(broken)


async def _of(world: World, checks: Sequence[Check]) -> list[str]:
    return [violation for check in checks for violation in await check(world)]


async def _nothing_under_way(world: World) -> list[str]:
    """Sagas that run, money that is on its way."""
    sagas = await world.rows("booking", _SAGAS, names=world.clinics)
    money = await world.rows("payment", _UNDER_WAY, clinics=world.clinics)
    return [f"saga {saga['business_key']} is {saga['status']} at {saga['step']}" for saga in sagas] + [
        f"payment or refund {each['id']} is under way" for each in money
    ]


async def _seats(world: World) -> list[str]:
    slots = await world.rows("booking", _SEATS, clinics=world.clinics)
    twice = await world.rows("booking", _TWO_PLACES, clinics=world.clinics)
    wrong = [slot for slot in slots if slot["booked_count"] != slot["taken"] or slot["taken"] > slot["capacity"]]
    return [
        f"1: slot {slot['id']} counts {slot['booked_count']} of {slot['capacity']} seats, {slot['taken']} are taken"
        for slot in wrong
    ] + [f"1: whoever serves slot {slot['slot_id']} is elsewhere too" for slot in twice]


async def _payments_have_bookings(world: World) -> list[str]:
    bookings = {str(row["id"]): row for row in await world.rows("booking", _BOOKINGS, clinics=world.clinics)}
    payments = await world.rows("payment", _PAYMENTS, clinics=world.clinics)
    broken = []
    for payment in payments:
        booking = bookings.get(str(payment["booking_id"]))
        kept = payment["captured"] - payment["refund_done"] - payment["refund_reserved"]
        expected = _kept(booking) if booking else Decimal(0)
        if payment["captured"] and kept != expected:
            broken.append(f"2: payment {payment['id']} keeps {kept}, its booking says {expected}")
    is_paid = [payment for payment in payments if payment["captured"] or payment["status"] == "at_clinic"]
    paid = {str(payment["booking_id"]) for payment in is_paid}
    return broken + [f"2: booking {booking} was never paid" for booking in bookings.keys() - paid]


async def _ledger_agrees(world: World) -> list[str]:
    entries = await world.rows("payment", _LEDGER, clinics=world.clinics)
    broken = [f"3: an entry of booking {e['booking_id']} is off" for e in entries if e["shares"] != e["total_amount"]]
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[str(entry["booking_id"])] += entry["total_amount"]
    for payment in await world.rows("payment", _PAYMENTS, clinics=world.clinics):
        kept = payment["captured"] - payment["refund_done"] - payment["refund_reserved"]
        said = sums.pop(str(payment["booking_id"]), Decimal(0))
        if kept != said:
            broken.append(f"3: payment {payment['id']} keeps {kept}, the ledger says {said}")
        broken += await _provider_agrees(world, payment)
    return broken + [
        f"3: the ledger has {total} of booking {booking} without a payment" for booking, total in sums.items()
    ]


async def _provider_agrees(world: World, payment: Json) -> list[str]:
    if not payment["external_reference"]:
        return []
    intent = (await world.provider.get(f"/v1/payment_intents/{payment['external_reference']}")).json()
    theirs = (Decimal(intent["amount_captured"]), Decimal(intent["amount_refunded"]))
    ours = (payment["captured"], payment["refund_done"] - payment["paid_by_hand"])
    return [f"3: payment {payment['id']} is {ours}, the provider says {theirs}"] if ours != theirs else []


async def _one_refund_each(world: World) -> list[str]:
    refunds: dict[str, list[Json]] = {}
    for refund in await world.rows("payment", _REFUNDS, clinics=world.clinics):
        refunds.setdefault(str(refund["booking_id"]), []).append(refund)
    broken = [f"4: booking {id_} has {len(many)} refunds" for id_, many in refunds.items() if len(many) > 1]
    for booking in await world.rows("booking", _BOOKINGS, clinics=world.clinics):
        given = sum((refund["amount"] for refund in refunds.get(str(booking["id"]), [])), Decimal(0))
        due = booking["amount"] - _kept(booking)
        if given != due:
            broken.append(f"4: booking {booking['id']} gave {given} back, its policy says {due}")
    sagas = await world.rows("booking", _SAGAS, names=world.clinics)
    return broken + [f"4: saga {saga['business_key']} is {saga['status']}" for saga in sagas]


async def _everybody_told(world: World) -> list[str]:
    expected: Counter[tuple[str, str]] = Counter()
    broken = []
    for service, kinds in TELLS.items():
        for event in await world.rows(service, _TOLD, names=world.clinics):
            if not event["published"]:
                broken.append(f"5: {event['event_type']} of {event['booking_id']} has not left")
            if event["event_type"] in kinds:
                expected[event["booking_id"], kinds[event["event_type"]]] += 1
    bookings = list({booking for booking, _ in expected})
    found = await world.rows("notification", _NOTIFICATIONS, bookings=bookings)
    told = Counter((row["booking_id"], row["type"]) for row in found)
    broken += [
        f"5: {key} was told {told[key]} times, not {times}" for key, times in expected.items() if told[key] != times
    ]
    return broken + [
        f"5: a mail about {row['booking_id']} is {row['status']}" for row in found if row["status"] != "sent"
    ]


async def _nothing_parked(world: World) -> list[str]:
    """Also beyond the test's clinics: a message that was set aside is a fault anywhere, unless a test planted it."""
    parked = {service: await world.rows(service, _PARKED, planted=PLANTED) for service in SERVICES}
    return [
        f"5: {service} set {each['subject']} aside: {each['error']}"
        for service, many in parked.items()
        for each in many
    ]


def _kept(booking: Json) -> Decimal:
    """What of the price stays, once a cancellation or a no-show has gone through."""
    gone = booking["refund_amount"] if booking["status"] in ("cancelled", "no-show") else 0
    return Decimal(booking["amount"] - (gone or 0))


AT_REST: tuple[Check, ...] = (_nothing_under_way, _everybody_told)
CHECKS: tuple[Check, ...] = (
    _seats,
    _payments_have_bookings,
    _ledger_agrees,
    _one_refund_each,
    _nothing_parked,
)
