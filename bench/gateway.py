"""What the gateway adds, with everything on: tokens, JSON, limits, deadlines, CORS, access rules."""

import statistics
from dataclasses import replace

from bench import work
from bench.bare_envoy import open_bare_envoy
from bench.measure import Meter, cpu_name, open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import P50, RATE, Figures, Options, Results, Row, Target
from bench.spread import find, ratio, typical
from bench.stage import open_stage

NAME = "gateway"
ABOUT = "The same calls directly over gRPC and in JSON through the gateway; ratios are to the direct ones."
CALLERS = (1, 32, 128)
HOLD, SEARCH, THROUGH = "hold", "five nearest clinics", "through the gateway"


async def run(options: Options) -> Results:
    """At each number of callers, directly and through the gateway in turn."""
    async with open_stage() as stage, open_meter(stage) as meter, open_bare_envoy(stage) as bare:
        contestants = [one for number in CALLERS for one in contestants_at(meter, bare, number, options.seconds)]
        rows = await alternate(contestants, options.rounds)
    return Results(rows, targets(rows))


def contestants_at(meter: Meter, bare: str, number: int, seconds: float) -> list[Contestant]:
    """Both calls, each way, and a hold through an Envoy with nothing on it."""
    stage, at = meter.stage, callers(number)

    async def hold() -> Figures:
        await stage.renew_token()
        return await meter.measure(work.hold(stage), number, seconds)

    async def hold_through_bare() -> Figures:
        through = replace(work.hold(stage), addresses=(bare,))
        return await meter.measure(through, number, seconds)

    async def hold_through() -> Figures:
        return await meter.measure(work.hold_through_gateway(stage), number, seconds)

    async def search() -> Figures:
        return await meter.measure(work.search(stage), number, seconds)

    async def search_through() -> Figures:
        return await meter.measure(work.search_through_gateway(stage), number, seconds)

    return [
        Contestant(HOLD, at, hold),
        Contestant(f"{HOLD} through an Envoy with nothing on it", at, hold_through_bare, HOLD),
        Contestant(f"{HOLD} {THROUGH}", at, hold_through, HOLD),
        Contestant(SEARCH, at, search),
        Contestant(f"{SEARCH} {THROUGH}", at, search_through, SEARCH),
    ]


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of the gateway, held against holds."""
    through, most = f"{HOLD} {THROUGH}", callers(CALLERS[-1])
    microseconds = 1000 * typical(rows, through, most, cpu_name("gateway"))
    added = added_p50(find(rows, HOLD, callers(1)), find(rows, through, callers(1)))
    share = ratio(find(rows, through, most).rounds, find(rows, HOLD, most).rounds, RATE)
    return [
        Target("gateway: at most 80 us of CPU a request (128 callers)", f"{microseconds:.0f} us", microseconds <= 80),
        Target("gateway, 1 caller: at most 0.25 ms more at p50", f"{added:.2f} ms", added <= 0.25),
        Target("gateway, 128 callers: 75 % of the direct rate", str(share), share.middle >= 0.75),
    ]


def added_p50(direct: Row, through: Row) -> float:
    """Milliseconds that p50 is longer, the middle of the rounds."""
    pairs = zip(through.rounds, direct.rounds, strict=True)
    return statistics.median(mine[P50] - other[P50] for mine, other in pairs)
