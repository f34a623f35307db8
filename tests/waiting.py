"""Waiting for what other processes do: polled often at first, then ever less often, with an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from devstack.api import Refused

PATIENCE_SECONDS = 120.0
"""The broker gives a message that was in the hands of a killed service to the next one after half a minute, and a busy
machine takes its time for the rest."""

SELDOM_SECONDS = 0.25
"""Between two looks after a while."""

AWAY = (Refused, httpx.TransportError)
"""How it shows that a part is away."""

Seen = TypeVar("Seen")


async def eventually(
    awaited: str, look: Callable[[], Awaitable[Seen | None]], seconds: float = PATIENCE_SECONDS, every: float = 0.03
) -> Seen:
    """What `look` sees as soon as it is something; fails after the given time. A part that is away is waited for.

    `every`: seconds between the first looks; the longer it has waited, the less it matters to see it at once, and
    the looks of many tests would keep the machine from what they wait for.
    """
    began, away = time.monotonic(), ""
    while True:
        try:
            if seen := await look():
                return seen
        except AWAY as fault:
            if isinstance(fault, Refused) and fault.status not in (503, 504):
                raise
            away = f"; {fault}"
        waited = time.monotonic() - began
        assert waited < seconds, f"waited {seconds:.0f} s for {awaited}{away}"
        await asyncio.sleep(max(every, min(waited / 10, SELDOM_SECONDS)))
