"""Promise 5: every event reached every effect, once. It can be seen as far back as the outbox goes: seven days."""

from collections import Counter
from dataclasses import replace
from typing import LiteralString

from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant
from petproctl.places import Service

_TELLS = {
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

_OFTEN = ("booking_rescheduled", "booking_reminder", "cancellation_refused", "refund_delayed")
"""What can happen to one booking more than once."""

_OVERTAKES = {"booking_reminder": ("booking_cancelled", "booking_rescheduled")}
"""What, told first, leaves no use for telling the other: a reminder that was set aside, and handled too late."""

_TOLD = """
    SELECT booking_id::text AS booking, type, count(*) AS times FROM notifications
    WHERE booking_id = ANY(%(bookings)s::uuid[]) GROUP BY 1, 2
"""


@invariant(5)
def messages_leave(look: Look) -> Findings:
    """Every message leaves for the broker within the grace. While the broker is down, those that wait are named."""
    statement = """SELECT id, CASE WHEN created_at < CURRENT_TIMESTAMP - %(grace)s
        THEN subject || ' of ' || aggregate || ' waits since ' || created_at END AS broken FROM batch ORDER BY id"""
    return _everywhere(look, "outbox", statement, always="published_at IS NULL")


@invariant(5)
def messages_are_handled(look: Look) -> Findings:
    """No message was set aside as one that its consumer cannot handle; such a one waits for a person."""
    statement = "SELECT id, subject || ' was set aside: ' || left(error, 200) AS broken FROM batch ORDER BY id"
    return _everywhere(look, "parked_messages", statement)


def _everywhere(look: Look, table: str, statement: LiteralString, always: LiteralString = "true") -> Findings:
    """The same in every service; a subject is `service:id`."""
    for service in Service:
        for subject, detail in _here(look, service).broken(service, table, statement, always=always):
            yield f"{service}:{subject}", detail


def _here(look: Look, service: str) -> Look:
    """The same look at the subjects of one service."""
    if look.only is None:
        return look
    named = (subject.partition(":") for subject in look.only)
    return replace(look, only=tuple(id_ for name, _, id_ in named if name == service))


@invariant(5)
def customers_are_told_once(look: Look) -> Findings:
    """Each event about a booking made one notification.

    An event has the grace to arrive, counted from its leaving. Notifications without an event are older than the
    outbox; so only what cannot happen twice is counted from above.
    """
    for service, kinds in _TELLS.items():
        statement = """SELECT id, event->>'booking_id' AS booking, event->>'event_type' AS kind, leaves.settled
            FROM batch CROSS JOIN LATERAL (SELECT published_at < CURRENT_TIMESTAMP - %(grace)s AS settled) AS leaves
            CROSS JOIN LATERAL (SELECT CASE WHEN subject LIKE 'petpro.events.%%'
                THEN convert_from(payload, 'UTF8')::jsonb END AS event) AS body ORDER BY id"""
        for rows in _here(look, service).batches(service, "outbox", statement, settled=False):
            events = [row for row in rows if row["kind"] in kinds and row["settled"]]
            for id_, detail in _miscounted(look, [(row["id"], row["booking"], kinds[row["kind"]]) for row in events]):
                yield f"{service}:{id_}", detail


def _miscounted(look: Look, events: list[tuple[int, str, str]]) -> Findings:
    found = look.rows("notification", _TOLD, bookings=[booking for _, booking, _ in events])
    told = Counter({(row["booking"], row["type"]): row["times"] for row in found})
    for id_, booking, kind in events:
        times = told[booking, kind]
        if times == 0 and any(told[booking, other] for other in _OVERTAKES.get(kind, ())):
            continue
        if times == 0 or (times > 1 and kind not in _OFTEN):
            yield str(id_), f"{kind} of booking {booking} was told {times} times"


@invariant(5)
def mails_are_sent(look: Look) -> Findings:
    """A mail leaves, is given up with a reason, or has its next try ahead."""
    return look.broken(
        "notification",
        "deliveries",
        """SELECT id, CASE WHEN due_at < CURRENT_TIMESTAMP - %(grace)s
            THEN 'is due since ' || due_at END AS broken FROM batch ORDER BY id""",
        always="status = 'pending'",
    )
