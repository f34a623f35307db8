"""Every SQL statement of the sandbox, over one SQLite file.

A transaction holds the write lock from its first statement, so every check inside it (what is left to
refund, whether a key is known) still holds when it commits. Many acts share one, and each is undone alone. A commit
is on the disk before the answers leave: WAL with `synchronous=FULL`, so neither SIGKILL nor a power cut takes back
what a caller was told.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from devstack.sandbox.behaviours import Plan
from devstack.sandbox.errors import Json
from devstack.sandbox.objects import Answer, Event, PaymentIntent, Refund, RefundStatus

_PAYMENTS = """
    SELECT p.*,
        (SELECT coalesce(sum(amount), 0) FROM refunds r
            WHERE r.payment_intent = p.id AND r.status = 'succeeded') AS refunded,
        (SELECT coalesce(sum(amount), 0) FROM refunds r
            WHERE r.payment_intent = p.id AND r.status = 'pending') AS refund_pending
    FROM payment_intents p
"""
_REFUNDS = "SELECT * FROM refunds"
_EVENTS = """
    SELECT *, (SELECT count(*) FROM deliveries d
        WHERE d.event = events.id AND d.delivered_at IS NULL) AS pending_webhooks
    FROM events
"""
_FILTERS = {
    "reference": "reference = :reference",
    "status": "status = :status",
    "payment_intent": "payment_intent = :payment_intent",
    "type": "type = :type",
    "object": "object_id = :object",
    "created_from": "created >= :created_from",
    "created_to": "created < :created_to",
}


@dataclass(frozen=True)
class Page:
    """One page of a list, oldest first: each item with its place, and whether there are more."""

    items: list[Json]
    has_more: bool


@dataclass(frozen=True)
class Delivery:
    """One copy of an event on its way out."""

    seq: int
    tries: int
    event: str
    body: bytes


class UnknownCursor(Exception):
    """A list was asked to go on after an object that is not in it."""


class Store:
    """The database file. One connection, one transaction at a time."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(Path(__file__).with_name("schema.sql").read_text())

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Everything inside commits together, or not at all when it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield Transaction(self._connection)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class Transaction:
    """What can be read and written, under the write lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def attempt(self, act: Callable[["Transaction"], object]) -> object:
        """What `act` returns; or what it raises, once all that it did is undone, and nothing else."""
        self._execute("SAVEPOINT attempt")
        try:
            outcome = act(self)
        except Exception as failure:  # noqa: BLE001 - given to whoever asked
            self._execute("ROLLBACK TO attempt")
            outcome = failure
        self._execute("RELEASE attempt")
        return outcome

    # payments

    def add_payment(self, payment: PaymentIntent) -> None:
        self._execute(
            """INSERT INTO payment_intents (id, reference, amount, currency, payment_method, status, token,
                   delay, metadata, created, captured, captured_at, settles_at, failure)
               VALUES (:id, :reference, :amount, :currency, :payment_method, :status, :token, :delay,
                   :metadata, :created, :captured, :captured_at, :settles_at, :failure)""",
            {
                **vars(payment),
                "token": payment.plan.token,
                "delay": payment.plan.delay,
                "metadata": orjson.dumps(payment.metadata).decode(),
            },
        )

    def save_payment(self, payment: PaymentIntent) -> None:
        """Write what may change in a payment's life."""
        self._execute(
            """UPDATE payment_intents SET status = :status, captured = :captured, captured_at = :captured_at,
                   settles_at = :settles_at, failure = :failure, cancellation_reason = :cancellation_reason
               WHERE id = :id""",
            {key: value for key, value in vars(payment).items() if key not in ("plan", "metadata")},
        )

    def payment(self, payment_id: str) -> PaymentIntent | None:
        row = self._execute(f"{_PAYMENTS} WHERE id = ?", (payment_id,)).fetchone()
        return _payment(row) if row else None

    def plan(self, payment_id: str) -> Plan:
        """What a payment's test value makes of it and of its refunds."""
        return Plan(*self._execute("SELECT token, delay FROM payment_intents WHERE id = ?", (payment_id,)).fetchone())

    def payments_due(self, now: int) -> list[PaymentIntent]:
        rows = self._execute(f"{_PAYMENTS} WHERE settles_at <= ? ORDER BY settles_at LIMIT 100", (now,))
        return [_payment(row) for row in rows.fetchall()]

    def list_payments(self, filters: Mapping[str, Any], after: str | None, limit: int) -> Page:
        rows, more = self._page("payment_intents", _PAYMENTS, filters, after, limit)
        return Page([_payment(row).json() for row in rows], more)

    # refunds

    def add_refund(self, refund: Refund) -> None:
        self._execute(
            """INSERT INTO refunds (id, payment_intent, reference, amount, currency, status, reason, created,
                   due_at, due_status)
               VALUES (:id, :payment_intent, :reference, :amount, :currency, :status, :reason, :created,
                   :due_at, :due_status)""",
            vars(refund),
        )

    def end_refund(self, refund_id: str, status: RefundStatus, failure: str) -> None:
        self._execute(
            "UPDATE refunds SET status = ?, failure = ?, due_at = NULL, due_status = NULL WHERE id = ?",
            (status, failure, refund_id),
        )

    def refund(self, refund_id: str) -> Refund | None:
        row = self._execute(f"{_REFUNDS} WHERE id = ?", (refund_id,)).fetchone()
        return _refund(row) if row else None

    def refunds_due(self, now: int) -> list[Refund]:
        rows = self._execute(f"{_REFUNDS} WHERE due_at <= ? ORDER BY due_at LIMIT 100", (now,))
        return [_refund(row) for row in rows.fetchall()]

    def list_refunds(self, filters: Mapping[str, Any], after: str | None, limit: int) -> Page:
        rows, more = self._page("refunds", _REFUNDS, filters, after, limit)
        return Page([_refund(row).json() for row in rows], more)

    # events and their way out

    def add_event(self, event: Event, due_at: list[int]) -> None:
        """Keep an event with one delivery for each instant at which a copy leaves."""
        self._execute(
            "INSERT INTO events (id, type, object_id, created, body) VALUES (:id, :type, :object_id, :created, :body)",
            vars(event),
        )
        for instant in due_at:
            self.add_delivery(event.id, instant)

    def add_delivery(self, event_id: str, due_at: int) -> None:
        self._execute("INSERT INTO deliveries (event, due_at) VALUES (?, ?)", (event_id, due_at))

    def event(self, event_id: str) -> Json | None:
        row = self._execute(f"{_EVENTS} WHERE id = ?", (event_id,)).fetchone()
        return _event_json(row) if row else None

    def list_events(self, filters: Mapping[str, Any], after: str | None, limit: int) -> Page:
        rows, more = self._page("events", _EVENTS, filters, after, limit)
        return Page([_event_json(row) for row in rows], more)

    def deliveries_due(self, now: int, limit: int) -> list[Delivery]:
        rows = self._execute(
            """SELECT d.seq, d.tries, e.id, e.body FROM deliveries d JOIN events e ON e.id = d.event
               WHERE d.delivered_at IS NULL AND d.due_at <= ? ORDER BY d.due_at, d.seq LIMIT ?""",
            (now, limit),
        )
        return [Delivery(*row) for row in rows.fetchall()]

    def next_due(self, now: int) -> int | None:
        """When a payment or refund next reaches its end by itself, or a copy that still waits leaves."""
        row = self._execute(
            """SELECT min(due) FROM (
                   SELECT min(settles_at) AS due FROM payment_intents WHERE settles_at IS NOT NULL
                   UNION ALL SELECT min(due_at) FROM refunds WHERE due_at IS NOT NULL
                   UNION ALL SELECT min(due_at) FROM deliveries WHERE delivered_at IS NULL AND due_at > ?)""",
            (now,),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def delivered(self, seq: int, now: int) -> None:
        self._execute("UPDATE deliveries SET tries = tries + 1, delivered_at = ? WHERE seq = ?", (now, seq))

    def postpone(self, seq: int, due_at: int) -> None:
        self._execute("UPDATE deliveries SET tries = tries + 1, due_at = ? WHERE seq = ?", (due_at, seq))

    # idempotency

    def kept_answer(self, key: str) -> tuple[str, Answer] | None:
        """The fingerprint of the request that used the key first, and what it was answered."""
        row = self._execute("SELECT fingerprint, status, body FROM idempotency_keys WHERE key = ?", (key,)).fetchone()
        return (row[0], Answer(row[1], orjson.loads(row[2]), replayed=True)) if row else None

    def keep_answer(self, key: str, fingerprint: str, answer: Answer) -> None:
        self._execute(
            "INSERT INTO idempotency_keys (key, fingerprint, status, body) VALUES (?, ?, ?, ?)",
            (key, fingerprint, answer.status, orjson.dumps(answer.body).decode()),
        )

    def play_fault(self, key: str) -> bool:
        """Whether the fault of this key is still to be played; from now on it is not."""
        return self._execute("INSERT OR IGNORE INTO played_faults (key) VALUES (?)", (key,)).rowcount == 1

    def _page(
        self, table: str, select: str, filters: Mapping[str, Any], after: str | None, limit: int
    ) -> tuple[list[sqlite3.Row], bool]:
        place = 0
        if after is not None:
            row = self._execute(f"SELECT seq FROM {table} WHERE id = ?", (after,)).fetchone()
            if row is None:
                raise UnknownCursor
            place = row[0]
        conditions = " AND ".join(["seq > :place", *(_FILTERS[name] for name in filters)])
        rows = self._execute(
            f"{select} WHERE {conditions} ORDER BY seq LIMIT :limit",
            {**filters, "place": place, "limit": limit + 1},
        ).fetchall()
        return rows[:limit], len(rows) > limit


def _payment(row: sqlite3.Row) -> PaymentIntent:
    fields = dict(row)
    del fields["seq"]
    plan = Plan(fields.pop("token"), fields.pop("delay"))
    return PaymentIntent(**{**fields, "plan": plan, "metadata": orjson.loads(fields["metadata"])})


def _refund(row: sqlite3.Row) -> Refund:
    fields = dict(row)
    del fields["seq"]
    return Refund(**fields)


def _event_json(row: sqlite3.Row) -> Json:
    return {**orjson.loads(row["body"]), "pending_webhooks": row["pending_webhooks"]}
