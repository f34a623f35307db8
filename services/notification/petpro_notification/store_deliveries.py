"""Every statement about deliveries, but for that which writes them with what they deliver."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from petpro_common.db import LateWrite, Row, Transaction
from petpro_notification.domain import Channel, Outcome, Type
from petpro_notification.store import Due, Names

# OFFSET 0 and brackets have each row looked up by its key: a plan made while there was little would join whole tables.
_CLAIM_DUE = text("""
    WITH claimed AS (
        UPDATE deliveries SET tries = tries + 1, due_at = clock_timestamp() + CAST(:lease AS interval)
        WHERE id = ANY(ARRAY(
            SELECT id FROM deliveries
            WHERE channel = :channel AND status = 'pending' AND due_at <= statement_timestamp()
                AND (SELECT type FROM notifications WHERE id = notification_id) = ANY(CAST(:types AS text[]))
            ORDER BY due_at LIMIT :batch FOR UPDATE SKIP LOCKED))
        RETURNING id, channel, tries, notification_id
    )
    SELECT claimed.*, n.user_id, n.booking_id, n.type, n.title, n.content, n.metadata AS facts, n.created_at,
        clinic.name AS clinic, clinic.timezone, service.name AS service, service.duration_minutes
    FROM claimed
    CROSS JOIN LATERAL (SELECT * FROM notifications WHERE id = claimed.notification_id OFFSET 0) AS n
    LEFT JOIN LATERAL (
        SELECT * FROM catalog_services WHERE id = CAST(n.metadata->>'service_id' AS uuid) OFFSET 0) AS service ON true
    LEFT JOIN LATERAL (
        SELECT * FROM catalog_clinics
        WHERE id = coalesce(CAST(n.metadata->>'clinic_id' AS uuid), service.clinic_id) OFFSET 0) AS clinic ON true
""")
# By the ids: PostgreSQL must not see that the index of what is due would do, or it reads all of that for each try.
_RECORD = LateWrite(
    text("""
        UPDATE deliveries AS d SET status = tried.status, reason = tried.reason,
            sent_at = CASE WHEN tried.status = 'sent' THEN clock_timestamp() ELSE sent_at END,
            due_at = CASE WHEN tried.status = 'sent' THEN due_at ELSE clock_timestamp() + tried.pause END
        FROM unnest(CAST(:ids AS uuid[]), CAST(:tries AS integer[]), CAST(:statuses AS text[]),
                    CAST(:reasons AS text[]), CAST(:pauses AS interval[]))
             AS tried(id, tries, status, reason, pause)
        WHERE d.id = tried.id AND d.id = ANY(CAST(:ids AS uuid[])) AND d.status || '' = 'pending'
            AND (tried.status = 'sent' OR d.tries = tried.tries)
    """),
    lambda outcomes: {name: [outcome[name] for outcome in outcomes] for name in outcomes[0]},
)

# As if it had never been claimed; what another has claimed since is its.
_GIVE_BACK = text("""
    UPDATE deliveries AS d SET tries = d.tries - 1, due_at = clock_timestamp()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:tries AS integer[])) AS claimed(id, tries)
    WHERE d.id = claimed.id AND d.id = ANY(CAST(:ids AS uuid[])) AND d.status || '' = 'pending'
        AND d.tries = claimed.tries
""")

# By the partial index of what is due.
_WAITING = text("""
    SELECT count(*) AS deliveries,
        coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest_seconds
    FROM deliveries WHERE channel = :channel AND status = 'pending'
""")
# What somebody has in hand is due later, and its own try finds that it is too old.
_END_OLD = text("""
    UPDATE deliveries SET status = 'suppressed', reason = 'out of date'
    WHERE id = ANY(ARRAY(
        SELECT id FROM deliveries
        WHERE channel = ANY(CAST(:channels AS text[])) AND status = 'pending' AND due_at <= statement_timestamp()
            AND created_at <= statement_timestamp() - CAST(:news_for AS interval)
        LIMIT 1000 FOR UPDATE SKIP LOCKED))
""")


async def waiting(tx: Transaction, channel: Channel) -> Row:
    """How many deliveries are still to be made by that channel, and how long the oldest has waited."""
    return (await tx.execute(_WAITING, {"channel": channel})).one()


def end_old(tx: Transaction, channels: Sequence[Channel], news_for: timedelta) -> None:
    """Ends what is due by these channels and was told so long ago, a thousand at most. What nobody has a sender for any
    more ends in no other way."""
    tx.write(_END_OLD, {"channels": list(channels), "news_for": news_for})


async def claim_due(tx: Transaction, channel: Channel, batch: int, lease: timedelta) -> Sequence[Due]:
    """Takes due deliveries by that channel, of known types, for one try each; nobody else gets them (SKIP LOCKED)
    within the lease. What is due by other channels is not even read."""
    claimed = {"channel": channel, "batch": batch, "lease": lease, "types": list(Type)}
    rows = (await tx.execute(_CLAIM_DUE, claimed)).all()
    return [_due(row._asdict()) for row in rows]


def give_back(tx: Transaction, claimed: Sequence[Due]) -> None:
    """Has deliveries that were claimed and not tried be due again at once, with no try counted."""
    tx.write(_GIVE_BACK, {"ids": [due.id for due in claimed], "tries": [due.tries for due in claimed]})


def _due(columns: dict[str, Any]) -> Due:
    names = Names(**{field.name: columns.pop(field.name) for field in fields(Names)})
    return Due(**{**columns, "type": Type(columns["type"]), "names": names})


def record(tx: Transaction, due: Due, outcome: Outcome, pause: timedelta) -> None:
    """Writes what came of a try, with the commit. What has left is sent, whoever holds the lease now; any other
    outcome counts only while this try is still the newest."""
    tried = {"ids": due.id, "tries": due.tries}
    tx.write_late(_RECORD, {**tried, "statuses": outcome.status, "reasons": outcome.reason, "pauses": pause})
