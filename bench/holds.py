"""Holds over gRPC and through the gateway, beside PostgreSQL doing the same work without Python."""

from collections.abc import Mapping

from bench import work
from bench.limits_database import Limits, open_limits
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import P50, P99, Figures, Options, Results, Row, Target
from bench.spread import find, ratio, typical
from bench.stage import open_stage

NAME = "holds"
ABOUT = "A seat held, at so many callers at once; ratios are to pgbench with five statements in the same round."
CALLERS = (1, 8, 32, 128)
STATEMENTS, CTE = "pgbench, five statements", "pgbench, one statement (CTE)"
GRPC, GATEWAY = "hold over gRPC", "hold through the gateway"


async def run(options: Options) -> Results:
    """At each number of callers, with one client process and with two."""
    async with open_stage() as stage, open_limits(stage) as limits, open_meter(stage) as meter:
        idle = stage.memory()
        contestants = [one for number in CALLERS for one in contestants_at(limits, meter, number, options.seconds)]
        rows = await alternate(contestants, options.rounds)
        loaded = stage.memory()
    memory = [f"{name}: {idle[name]:.0f} MiB idle, {loaded[name]:.0f} MiB after the load" for name in idle]
    return Results(rows, [*targets(rows), *memory_targets(idle)], memory)


def contestants_at(limits: Limits, meter: Meter, number: int, seconds: float) -> list[Contestant]:
    """All ways of holding a seat at that number of callers."""
    at = callers(number)
    stage = meter.stage

    async def over_grpc() -> Figures:
        await stage.renew_token()
        return await meter.measure(work.hold(stage), number, seconds)

    async def over_grpc_from_two() -> Figures:
        return await meter.measure(work.hold(stage), number, seconds, clients=2)

    async def through_gateway() -> Figures:
        return await meter.measure(work.hold_through_gateway(stage), number, seconds)

    found = [
        Contestant(STATEMENTS, at, lambda: limits.pgbench("hold", number, seconds)),
        Contestant(CTE, at, lambda: limits.pgbench("hold_cte", number, seconds), STATEMENTS),
        Contestant(GRPC, at, over_grpc, STATEMENTS),
        Contestant(GATEWAY, at, through_gateway, STATEMENTS),
    ]
    two = Contestant(f"{GRPC}, two client processes", at, over_grpc_from_two, STATEMENTS)
    return [*found, two] if number > 1 else found


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of holds at one caller and at 32."""
    many = callers(32)
    statements = ratio(find(rows, GRPC, many).rounds, find(rows, STATEMENTS, many).rounds, "a second")
    cte = ratio(find(rows, GRPC, many).rounds, find(rows, CTE, many).rounds, "a second")
    p50, p99 = (typical(rows, GRPC, many, name) for name in (P50, P99))
    alone = typical(rows, GRPC, callers(1), P50)
    return [
        Target("hold, 32 callers: 100 % of pgbench with five statements", str(statements), statements.middle >= 1),
        Target("hold, 32 callers: 60 % of pgbench with one statement", str(cte), cte.middle >= 0.6),
        Target("hold, 32 callers: p99 at most 3 x p50", f"{p99 / p50:.1f} x", p99 <= 3 * p50),
        Target("hold, 1 caller: p50 below 1.5 ms", f"{alone:.2f} ms", alone < 1.5),
    ]


def memory_targets(idle: Mapping[str, float]) -> list[Target]:
    """What was asked of a service that has nothing to do."""
    largest = max(idle, key=lambda name: idle[name])
    got = f"{idle[largest]:.0f} MiB ({largest})"
    return [Target("each service idle: less than 120 MiB in RAM", got, idle[largest] < 120)]
