"""What becomes of cancellations while their engine is killed: SIGKILL to all its processes, again and again.

Whoever was not told that a saga is begun asks again, as a customer does; whoever was told relies on it. Lost is what
was begun and has not ended after a long quiet; done twice is counted in the business tables, not in the engine's.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from bench import audit
from bench.measure import open_meter
from bench.peers import engines
from bench.peers.crew import Crew
from bench.peers.engines import Engine
from bench.peers.petpro import PetPro
from bench.rounds import Contestant, alternate
from bench.section import Figures, Options, Results, Row
from bench.stage import open_stage

NAME = "survival"
ABOUT = "Cancellations while all processes of their engine are killed over and over."
KILLS = 6
ENDED = "ended %"
BOOKINGS = 320
_AT_A_TIME = 16
_AT_MOST_UNENDED = 64
_SECONDS_TO_LIVE = (0.4, 2.5)
_QUIET_SECONDS = 40.0


class Mortal(Protocol):
    """An engine that can be killed."""

    async def begin(self, numbers: Sequence[int]) -> None:
        """Begins the sagas of these bookings, some perhaps again; raises when it is killed meanwhile."""

    async def kill(self) -> None:
        """SIGKILL to all of its processes."""

    async def start(self) -> None:
        """Brings it back."""

    async def ended(self) -> int:
        """How many sagas have left everything as it should be."""

    async def done_twice(self) -> int:
        """How many effects there are too many."""


class Peer:
    """A peer, its processes and its business tables."""

    def __init__(self, engine: Engine, way: str) -> None:
        self._crew: Crew = engine.crew(way)
        self.begin, self.kill, self.start = self._crew.begin, self._crew.kill, self._crew.start
        self.ended, self.done_twice = engine.business.ended, engine.business.done_twice


async def trial(engine: Mortal) -> Figures:
    """Kills the running engine over and over while customers ask, and counts when all is quiet."""
    over = asyncio.Event()
    customers = asyncio.create_task(_ask(engine, over))
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(*_SECONDS_TO_LIVE))  # noqa: S311 - an instant, not a secret
        await engine.kill()
        await engine.start()
    over.set()
    begun = await customers
    began = time.monotonic()
    ended = await _quiet(engine, begun)
    return {
        "kills": KILLS,
        "begun": begun,
        ENDED: 100 * ended / begun,
        "lost": begun - ended,
        "done twice": await engine.done_twice(),
        "seconds until quiet": time.monotonic() - began,
    }


async def _ask(engine: Mortal, over: asyncio.Event) -> int:
    """Begins sagas, never too many at once, until it is over; how many were begun."""
    begun = 0
    while not over.is_set() and begun < BOOKINGS - _AT_A_TIME:
        if begun - await engine.ended() > _AT_MOST_UNENDED:
            await asyncio.sleep(0.02)
            continue
        numbers = range(begun + 1, begun + 1 + _AT_A_TIME)
        while not await _told(engine, numbers):
            await asyncio.sleep(0.05)
        begun += _AT_A_TIME
    return begun


async def _told(engine: Mortal, numbers: Sequence[int]) -> bool:
    with suppress(EOFError, ConnectionError, LookupError):
        await engine.begin(numbers)
        return True
    return False


async def _quiet(engine: Mortal, begun: int) -> int:
    """How many have ended when all have, or when none has for long."""
    ended, since = await engine.ended(), time.monotonic()
    while ended < begun and time.monotonic() - since < _QUIET_SECONDS:
        await asyncio.sleep(0.2)
        now = await engine.ended()
        if now != ended:
            ended, since = now, time.monotonic()
    return ended


async def run(options: Options) -> Results:  # noqa: ARG001 - one trial of each is enough
    """One trial of each engine."""
    async with open_stage() as stage, open_meter(stage) as meter:
        ours = await PetPro.with_bookings(meter, BOOKINGS)
        rows = await alternate([_contestant("PetPro", partial(trial, ours))], 1)
        verdict = await audit.verdict(stage)
        dbos, natsaga = await engines.dbos(stage, BOOKINGS), await engines.natsaga(stage, BOOKINGS)
        peers = ((dbos, engines.DBOS_TRANSACTIONS), (natsaga, engines.NATSAGA_HALVES))
        rows += await alternate([_contestant(way, partial(_peer_trial, peer, way)) for peer, way in peers], 1)
        return Results(rows, [verdict], [_in_words(row) for row in rows])


def _in_words(row: Row) -> str:
    """A table leaves out columns of nothing but zeros; here they are what matters."""
    [found] = row.rounds
    return f"{row.what}: {found['begun']:.0f} begun, {found['lost']:.0f} lost, {found['done twice']:.0f} done twice."


def _contestant(what: str, once: Callable[[], Awaitable[Figures]]) -> Contestant:
    return Contestant(what, f"{KILLS} kills", once, by=ENDED)


async def _peer_trial(engine: Engine, way: str) -> Figures:
    peer = Peer(engine, way)
    await peer.start()
    try:
        return await trial(peer)
    finally:
        await peer.kill()
