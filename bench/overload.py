"""More holds than can be served: what is still answered, how fast, and what is refused.

Arrivals come by the clock, whether those before were answered or not, at shares of the capacity that 32 callers in a
closed loop reach in the same round.
"""

from bench import audit, work
from bench.measure import REFUSED, Meter, open_meter
from bench.rounds import Contestant, alternate
from bench.section import P50, P99, RATE, Figures, Options, Results, Row, Target
from bench.spread import find, ratio, typical
from bench.stage import open_stage

NAME = "overload"
ABOUT = "Holds that arrive by the clock, in shares of what 32 callers reach; ratios are to that."
SHARES = (0.5, 0.9, 1.5, 2.0, 3.0)
CAPACITY, AT = "32 callers, closed loop", "holds"
_BOUND_MS = 1000.0


class Overload:
    """Measures one share after the other; the capacity is that of the same round."""

    def __init__(self, meter: Meter, seconds: float) -> None:
        self._meter = meter
        self._seconds = seconds
        self._capacity = 0.0

    async def capacity(self) -> Figures:
        """What a closed loop reaches."""
        await self._meter.stage.renew_token()
        figures = await self._meter.measure(work.hold(self._meter.stage), 32, self._seconds)
        self._capacity = figures[RATE]
        return figures

    async def arriving(self, share: float) -> Figures:
        """Goodput, and what was refused. From two client processes, so that they can keep up."""
        stage, arrivals = self._meter.stage, self._capacity * share
        return await self._meter.measure(work.hold(stage), 128, self._seconds, clients=2, arrivals=arrivals)


async def run(options: Options) -> Results:
    """Half of the capacity to three times as much."""
    async with open_stage() as stage, open_meter(stage) as meter:
        overload = Overload(meter, options.seconds)
        contestants = [Contestant(CAPACITY, AT, overload.capacity)]
        for share in SHARES:
            once = lambda share=share: overload.arriving(share)  # noqa: E731
            contestants.append(Contestant(_arriving(share), AT, once, CAPACITY))
        rows = await alternate(contestants, options.rounds)
        return Results(rows, [*targets(rows), await audit.verdict(stage)])


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of three times the capacity."""
    most = _arriving(SHARES[-1])
    peak = max([CAPACITY, *map(_arriving, SHARES)], key=lambda what: typical(rows, what, AT, RATE))
    goodput = ratio(find(rows, most, AT).rounds, find(rows, peak, AT).rounds, RATE)
    p50, p99, refused = (typical(rows, most, AT, name) for name in (P50, P99, REFUSED))
    told = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {refused:.0f} % refused"
    return [
        Target("3 x the capacity: goodput at least 90 % of the peak", str(goodput), goodput.middle >= 0.9),
        Target(f"3 x the capacity: p99 of what is accepted below {_BOUND_MS:.0f} ms", told, p99 < _BOUND_MS),
    ]


def _arriving(share: float) -> str:
    return f"arriving at {share:.0%}"
