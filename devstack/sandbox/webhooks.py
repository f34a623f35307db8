"""How the outside learns of what happened: events, and their way out.

An event and its deliveries commit with the change that they tell of. A delivery is repeated, with growing
pauses, until the other side answers 2xx; so an event comes at least once, in no promised order, whatever crashes.
"""

import asyncio
import hmac
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import orjson
from aiohttp import ClientError, ClientSession

from devstack.sandbox.clock import now
from devstack.sandbox.errors import Json, NotFound
from devstack.sandbox.objects import Event, new_id, rfc3339
from devstack.sandbox.settings import Timings
from devstack.sandbox.store import Delivery, Transaction

_DEADLINE = 5.0
_log = logging.getLogger("sandbox.webhooks")


def record(tx: Transaction, instant: int, kind: str, about: Json, delays: Iterable[float]) -> None:
    """Keep an event about an object as it is now, with a copy leaving after each of the delays (seconds)."""
    event_id = new_id("evt", instant)
    told = {"id": event_id, "type": kind, "created": rfc3339(instant), "data": {"object": about}}
    body = orjson.dumps(told)
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


def carried(tx: Transaction, timings: Timings, instant: int, letter: Delivery, *, arrived: bool) -> None:
    """Keep that a copy has arrived, or when it leaves again."""
    if arrived:
        tx.delivered(letter.seq, instant)
    else:
        tx.postpone(letter.seq, instant + _pause(timings, letter.tries))


def _pause(timings: Timings, tries: int) -> int:
    """Microseconds until the next try: doubling from `retry` to `retry_limit`, half of it at random."""
    longest = min(timings.retry * 2.0 ** min(tries, 20), timings.retry_limit)
    return round(longest * random.uniform(0.5, 1.0) * 1_000_000)  # noqa: S311 - jitter, not a secret


@dataclass(frozen=True)
class Courier:
    """Carries letters to the webhook URL."""

    client: ClientSession
    url: str
    secret: bytes

    async def carry(self, letter: Delivery) -> bool:
        """Whether it has arrived: the other side answered 2xx in time."""
        headers = {
            "Content-Type": "application/json",
            "Sandbox-Signature": signature(self.secret, now() // 1_000_000, letter.body),
        }
        try:
            async with (
                asyncio.timeout(_DEADLINE),
                self.client.post(self.url, data=letter.body, headers=headers, allow_redirects=False) as answer,
            ):
                await answer.read()
        except (ClientError, TimeoutError) as failure:
            _log.warning("%s not delivered (try %d): %r", letter.event, letter.tries + 1, failure)
            return False
        arrived = 200 <= answer.status < 300
        if not arrived:
            _log.warning("%s answered %d (try %d)", letter.event, answer.status, letter.tries + 1)
        return arrived
