"""How the outside learns of what happened: events, and their way out.

An event and its deliveries commit with the change that they tell of. A delivery is repeated, with growing
pauses, until the other side answers 2xx; so an event comes at least once, in no promised order, whatever crashes.
"""

import asyncio
import hmac
import json
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex

from aiohttp import ClientError, ClientSession

from devstack.sandbox.clock import now
from devstack.sandbox.errors import Json, NotFound
from devstack.sandbox.objects import Event, rfc3339
from devstack.sandbox.settings import Timings
from devstack.sandbox.store import Delivery, Store, Transaction

_AT_A_TIME = 16
_DEADLINE = 5.0
_log = logging.getLogger("sandbox.webhooks")


def record(tx: Transaction, instant: int, kind: str, about: Json, delays: Iterable[float]) -> None:
    """Keep an event about an object as it is now, with a copy leaving after each of the delays (seconds)."""
    event_id = f"evt_{token_hex(12)}"
    told = {"id": event_id, "type": kind, "created": rfc3339(instant), "data": {"object": about}}
    body = json.dumps(told, separators=(",", ":")).encode()
    due_at = [instant + round(delay * 1_000_000) for delay in delays]
    tx.add_event(Event(event_id, kind, about["id"], instant, body), due_at)


def find(tx: Transaction, event_id: str) -> Json:
    """The event with how many of its copies have not arrived, as `pending_webhooks`."""
    event = tx.event(event_id)
    if event is None:
        raise NotFound("event_not_found", f"No event {event_id[:64]!r}.")
    return event


def resend(tx: Transaction, instant: int, event_id: str) -> Json:
    """Let one more copy leave now."""
    find(tx, event_id)
    tx.add_delivery(event_id, instant)
    return find(tx, event_id)


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """The value of `Sandbox-Signature`: HMAC-SHA256 over `<timestamp>.<raw body>`; Unix seconds."""
    digest = hmac.new(secret, b"%d.%b" % (timestamp, body), sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


@dataclass(frozen=True)
class Courier:
    """Carries what is due to the webhook URL."""

    store: Store
    client: ClientSession
    url: str
    secret: bytes
    timings: Timings

    async def deliver_due(self) -> float | None:
        """One round; returns the seconds until something is due again, None when nothing waits."""
        due = await asyncio.to_thread(self._due)
        arrived = await asyncio.gather(*(self._deliver(delivery) for delivery in due))
        return await asyncio.to_thread(self._settle, list(zip(due, arrived, strict=True)))

    def _due(self) -> list[Delivery]:
        with self.store.transaction() as tx:
            return tx.deliveries_due(now(), _AT_A_TIME)

    async def _deliver(self, delivery: Delivery) -> bool:
        headers = {
            "Content-Type": "application/json",
            "Sandbox-Signature": signature(self.secret, now() // 1_000_000, delivery.body),
        }
        try:
            async with (
                asyncio.timeout(_DEADLINE),
                self.client.post(self.url, data=delivery.body, headers=headers, allow_redirects=False) as answer,
            ):
                await answer.read()
        except (ClientError, TimeoutError) as failure:
            _log.warning("%s not delivered (try %d): %r", delivery.event, delivery.tries + 1, failure)
            return False
        arrived = 200 <= answer.status < 300
        if not arrived:
            _log.warning("%s answered %d (try %d)", delivery.event, answer.status, delivery.tries + 1)
        return arrived

    def _settle(self, outcomes: list[tuple[Delivery, bool]]) -> float | None:
        with self.store.transaction() as tx:
            for delivery, arrived in outcomes:
                if arrived:
                    tx.delivered(delivery.seq, now())
                else:
                    tx.postpone(delivery.seq, now() + self._pause(delivery.tries))
            upcoming = tx.next_delivery()
        return None if upcoming is None else max(0.0, (upcoming - now()) / 1_000_000)

    def _pause(self, tries: int) -> int:
        """Microseconds until the next try: doubling from `retry` to `retry_limit`, half of it at random."""
        longest = min(self.timings.retry * 2.0 ** min(tries, 20), self.timings.retry_limit)
        return round(longest * random.uniform(0.5, 1.0) * 1_000_000)  # noqa: S311 - jitter, not a secret
