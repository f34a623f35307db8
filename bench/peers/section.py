"""The cancellation saga of PetPro, and the same steps on its engine, on DBOS and on natsaga, in one run on one server.

The whole of PetPro goes through booking's gRPC to the end that booking's database tells; engines begin sagas within
their own process, which spares them that way. All call the same provider; only PetPro waits for its webhook.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from bench import supply, work
from bench.measure import Meter, cpu_name, figures_of, open_meter
from bench.peers import engines
from bench.peers.engines import AS_IT_COMES, Engine
from bench.rounds import Contestant, alternate, callers
from bench.section import P50, P95, P99, RATE, Figures, Options, Results, Row, Target
from bench.spread import typical
from bench.stage import Stage, open_stage

NAME = "peers"
ABOUT = "The cancellation saga beside the same steps on other engines."
PETPRO = "PetPro"
CALLERS = (1, 32)
BOOKINGS = 20_000
_FIRST_GUESS = 20.0  # cancellations a second
_MORE_THAN_NEEDED = 1.6
_AS_IT_COMES_TIMES = 3
"""natsaga as it comes takes a second a step: too few sagas would end in the time of the others."""
_WARM_UP_SECONDS = 1.0
ENGINE, OTHERS = "engine", "other services"
_SERVERS = ("postgres", "nats", "sandbox")
_NOTES = [
    "PetPro's sagas are asked for over gRPC by a client process of its own, whose CPU is left out; those of the peers "
    "begin in their own process, whose CPU is all of the engine's. PetPro's engine is booking and payment.",
    "PetPro waits for the provider's webhook; the peers do not. Notification is stopped: the peers tell nobody either.",
    "Durable at the end of a saga: PetPro and DBOS, all of it, in PostgreSQL; natsaga, its state and outbox in "
    "PostgreSQL, its messages in JetStream, which syncs its files every two minutes.",
]


@dataclass
class Ours:
    """PetPro's own cancellations; bookings are made before each round."""

    meter: Meter
    seconds: float
    _rate: dict[int, float] = field(default_factory=dict)

    async def once(self, number: int) -> Figures:
        """One round with that number of callers."""
        count = max(4 * number, round(self._rate.get(number, _FIRST_GUESS) * self.seconds * _MORE_THAN_NEEDED))
        bookings = await supply.bookings(self.meter, count)
        await self.meter.stage.renew_token()
        figures = await self.meter.measure(
            work.cancellation(self.meter.stage, bookings), number, self.seconds, drains=True
        )
        self._rate[number] = figures[RATE]
        return _told(figures, ("booking", "payment"))


@dataclass
class Theirs:
    """One way to run a peer; its processes live for one round."""

    stage: Stage
    engine: Engine
    way: str
    seconds: float

    async def once(self, number: int) -> Figures:
        """One round with that number of callers."""
        await self.stage.quiet()
        async with self.engine.crew(self.way) as crew:
            _, self.engine.next = await crew.measure(number, _WARM_UP_SECONDS, self.engine.next)
            before = {**self.stage.cpu(), ENGINE: await crew.cpu_seconds()}
            begin = time.monotonic()
            outcomes, self.engine.next = await crew.measure(number, self._seconds, self.engine.next)
            after = {**self.stage.cpu(), ENGINE: await crew.cpu_seconds()}
        spent = {part: after[part] - before[part] for part in after}
        return _told(figures_of(outcomes, begin, math.inf, spent), (ENGINE,))

    @property
    def _seconds(self) -> float:
        return self.seconds * (_AS_IT_COMES_TIMES if self.way == AS_IT_COMES else 1)


def _told(figures: Figures, engine: tuple[str, ...]) -> Figures:
    """The figures that all contestants have: CPU by what it was spent on."""
    parts = {name.removesuffix(cpu_name("")): spent for name, spent in figures.items() if name.endswith(cpu_name(""))}
    others = [spent for part, spent in parts.items() if part not in (*engine, *_SERVERS, "client")]
    return {
        **{name: figures[name] for name in (RATE, P50, P95, P99)},
        cpu_name(ENGINE): sum(parts.get(part, 0.0) for part in engine),
        **{cpu_name(server): parts.get(server, 0.0) for server in _SERVERS},
        cpu_name(OTHERS): sum(others),
    }


async def run(options: Options) -> Results:
    """All of them alternately, at each number of callers."""
    async with open_stage() as stage, open_meter(stage) as meter:
        await stage.stack.stop_part("notification")
        ours = Ours(meter, options.seconds)
        peers = [await make(stage, BOOKINGS) for make in (engines.petpro, engines.dbos, engines.natsaga)]
        theirs = [Theirs(stage, peer, way, options.seconds) for peer in peers for way in peer.ways]
        contestants = []
        for number in CALLERS:
            at = callers(number)
            contestants.append(Contestant(PETPRO, at, partial(ours.once, number)))
            contestants += [Contestant(one.way, at, partial(one.once, number), PETPRO) for one in theirs]
        rows = await alternate(contestants, options.rounds)
        return Results(rows, targets(rows, peers), _NOTES)


def targets(rows: list[Row], peers: Sequence[Engine]) -> list[Target]:
    """How many times as fast as each peer at its best PetPro's engine is."""
    _, dbos, natsaga = ([way for way in peer.ways if way != AS_IT_COMES] for peer in peers)
    return [_times(rows, "DBOS at its best", dbos, 15), _times(rows, "natsaga with a poll of 10 ms", natsaga, 30)]


def _times(rows: list[Row], name: str, ways: Sequence[str], asked: int) -> Target:
    at = callers(max(CALLERS))
    times = typical(rows, engines.PETPRO_ENGINE, at, RATE) / max(typical(rows, way, at, RATE) for way in ways)
    return Target(f"PetPro's engine, {at}: {asked} x {name}", f"{times:.1f} x", times >= asked)
