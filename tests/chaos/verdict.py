"""What came of a round, once everything is quiet: what was lost, what was doubled, what is stuck."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from devstack.api import Json
from devstack.layout import SERVICES
from devstack.testing import surroundings_of
from petproctl.audit.state import State
from tests.audit.looking import look_over
from tests.chaos.traffic import Traffic
from tests.world import World

PATIENCE_SECONDS = 120.0
"""Until everything must have come to rest."""

_STUCK = {
    *("sagas-move-on", "messages-leave", "open-payments-are-asked-about", "open-refunds-are-asked-about"),
    *("holds-end-in-time", "mails-are-sent"),
}
_DOUBLED = {
    *("one-refund-a-booking", "charges-are-ours", "returns-are-ours", "seats-within-capacity", "staff-in-one-place"),
}
_UNREST = {
    "booking": """
        SELECT 'saga ' || business_key || ' is ' || status || ' at ' || step AS what FROM sagas
        WHERE status IN ('running', 'compensating', 'parked')
        UNION ALL SELECT 'hold ' || id || ' has run out' FROM reservations
        WHERE status = 'pending' AND expires_at < CURRENT_TIMESTAMP""",
    "payment": """
        SELECT 'payment ' || id || ' is ' || status AS what FROM payments
        WHERE status IN ('pending', 'processing', 'unknown')
        UNION ALL SELECT 'refund ' || id || ' is ' || status FROM refunds
        WHERE status IN ('reserved', 'submitted', 'pending')""",
    "notification": "SELECT 'mail ' || id || ' has not left' AS what FROM deliveries WHERE status = 'pending'",
}
LISTENERS = {
    *((f"PETPRO_{stream}", name) for stream, name in [("COMMANDS", "payment"), ("REPLIES", "booking")]),
    *(("PETPRO_EVENTS", name) for name in ("booking", "catalog", "notification", "payment")),
}
"""Every consumer of the platform: stream and service."""

_UNPUBLISHED = "SELECT 'message ' || message_id || ' has not left' AS what FROM outbox WHERE published_at IS NULL"
_PARKED = "SELECT subject || ' was set aside: ' || error AS what FROM parked_messages"


@dataclass
class Verdict:
    """Each list holds what is wrong, in words."""

    sagas: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.stuck]


async def judge(world: World, traffic: Traffic, since: datetime) -> Verdict:
    """Waits for the rest, then looks at everything that has happened since the round began."""
    verdict = Verdict(stuck=await _what_does_not_rest(world))
    [count] = await world.rows("booking", "SELECT count(*) AS n FROM sagas WHERE created_at >= %(since)s", since=since)
    verdict.sagas = count["n"]
    verdict.lost += await _broken_promises(world, traffic)
    for service in SERVICES:
        verdict.lost += [row["what"] for row in await world.rows(service, _PARKED)]
    report = await asyncio.to_thread(look_over, world.stack, last=State(since), pause=1, batch=1000)
    for violation in report.violations:
        said = f"{violation.invariant}: {violation.subject} {violation.detail}"
        _column(verdict, violation.invariant, violation.detail).append(said)
    return verdict


async def _what_does_not_rest(world: World) -> list[str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (unrest := await _unrest(world)) and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    return unrest


async def _unrest(world: World) -> list[str]:
    """Looks the way the messages go, so that none passes by: who sends, outboxes, the broker, the last who hears."""
    found = [row["what"] for service in ("booking", "payment") for row in await world.rows(service, _UNREST[service])]
    found += [row["what"] for service in SERVICES for row in await world.rows(service, _UNPUBLISHED)]
    found += undelivered(await _streams(world))
    return found + [row["what"] for row in await world.rows("notification", _UNREST["notification"])]


async def _streams(world: World) -> Sequence[Json]:
    monitor = f"http://127.0.0.1:{surroundings_of(world.stack).nats.monitor_port}/jsz"
    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(monitor, params={"consumers": 1})).raise_for_status().json()
    return [stream for account in told["account_details"] for stream in account.get("stream_detail", ())]


def undelivered(streams: Sequence[Json]) -> list[str]:
    """What the broker has for somebody: a killed process had it in hand, and it comes again after a while. Who is not
    there has heard nothing."""
    consumers = {
        (stream["name"], consumer["name"]): consumer["num_pending"] + consumer["num_ack_pending"]
        for stream in streams
        for consumer in stream.get("consumer_detail") or ()
    }
    absent = [f"{name} does not listen to {stream}" for stream, name in sorted(LISTENERS - consumers.keys())]
    waiting = {of: count for of, count in consumers.items() if count}
    return absent + [f"{count} messages of {of[0]} are not handled by {of[1]}" for of, count in waiting.items()]


async def _broken_promises(world: World, traffic: Traffic) -> list[str]:
    promised = {promise.booking_id: promise.status for promise in traffic.promises}
    found = await world.rows("booking", "SELECT id, status FROM bookings WHERE id = ANY(%(ids)s)", ids=list(promised))
    now = {str(row["id"]): f"BOOKING_STATUS_{row['status'].upper()}" for row in found}
    return [
        f"booking {id_} is {now.get(id_, 'not there')}, and was promised to be {status}"
        for id_, status in promised.items()
        if now.get(id_) != status
    ]


def _column(verdict: Verdict, invariant: str, detail: str) -> list[str]:
    if invariant in _STUCK:
        return verdict.stuck
    told_more_than_once = invariant == "customers-are-told-once" and "told 0 times" not in detail
    return verdict.doubled if invariant in _DOUBLED or told_more_than_once else verdict.lost
