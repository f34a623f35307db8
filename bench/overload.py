"""More holds than can be served: what is still answered, how fast, and what is refused.

Arrivals come by the clock, whether those before were answered or not, at shares of the capacity that 32 callers in a
closed loop reach in the same round. What stands in the way of too many is not the same on both ways: over gRPC it is
the time that a call may wait to be read, at the gateway the number of calls that a service may have open.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bench import audit, load, work
from bench.measure import REFUSED, Meter, open_meter
from bench.rounds import Contestant, alternate
from bench.section import P50, P99, RATE, Figures, Options, Results, Row, Target
from bench.spread import find, ratio, typical
from bench.stage import Stage, open_stage

NAME = "overload"
ABOUT = "Holds that arrive by the clock, in shares of what 32 callers reach; ratios are to that."
SHARES = (0.5, 0.9, 1.5, 3.0)
CAPACITY, OVER_GRPC, GATEWAY = "32 callers, closed loop", "over gRPC", "through the gateway"
_WAYS: Mapping[str, Callable[[Stage], load.Work]] = {OVER_GRPC: work.hold, GATEWAY: work.hold_through_gateway}
_BOUND_MS = {OVER_GRPC: 4000.0, GATEWAY: 1500.0}
"""Over gRPC a call may wait unread for three seconds."""
_LEAST_SECONDS = 10.0
"""Until nothing changes any more: at three times the capacity the queue is full after four."""
_NOTES = ["The clients share the cores: what they spend on calls that are refused is missing for those that are taken."]


@dataclass
class Overload:
    """Measures one share after the other on one way; the capacity is that of the same round."""

    meter: Meter
    way: str
    seconds: float
    _capacity: float = 0.0

    def contestants(self) -> list[Contestant]:
        """The closed loop, then each share of what it reached."""
        shares = [Contestant(_arriving(share), self.way, partial(self.arriving, share), CAPACITY) for share in SHARES]
        return [Contestant(CAPACITY, self.way, self.capacity), *shares]

    async def capacity(self) -> Figures:
        """What a closed loop reaches."""
        await self.meter.stage.renew_token()
        figures = await self.meter.measure(self._work(), 32, self.seconds)
        self._capacity = figures[RATE]
        return figures

    async def arriving(self, share: float) -> Figures:
        """Goodput, and what was refused. From two client processes, so that they can keep up."""
        arrivals, seconds = self._capacity * share, max(self.seconds, _LEAST_SECONDS)
        return await self.meter.measure(self._work(), 128, seconds, clients=2, arrivals=arrivals)

    def _work(self) -> load.Work:
        return _WAYS[self.way](self.meter.stage)


async def run(options: Options) -> Results:
    """Half of the capacity to three times as much, on each way."""
    async with open_stage() as stage, open_meter(stage) as meter:
        contestants = [one for way in _WAYS for one in Overload(meter, way, options.seconds).contestants()]
        rows = await alternate(contestants, options.rounds)
        found = [target for way in _WAYS for target in targets(rows, way)]
        return Results(rows, [*found, await audit.verdict(stage)], _NOTES)


def targets(rows: list[Row], way: str) -> list[Target]:
    """What was asked of three times the capacity."""
    most, bound = _arriving(SHARES[-1]), _BOUND_MS[way]
    peak = max([CAPACITY, *map(_arriving, SHARES)], key=lambda what: typical(rows, what, way, RATE))
    goodput = ratio(find(rows, most, way).rounds, find(rows, peak, way).rounds, RATE)
    p50, p99, refused = (typical(rows, most, way, name) for name in (P50, P99, REFUSED))
    told = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {refused:.0f} % refused"
    asked = f"3 x the capacity {way}"
    return [
        Target(f"{asked}: goodput at least 90 % of the peak", str(goodput), goodput.middle >= 0.9),
        Target(f"{asked}: p99 of what is accepted below {bound:,.0f} ms", told, p99 < bound),
    ]


def _arriving(share: float) -> str:
    return f"arriving at {share:.0%}"
