"""How late a timer is: holds that run out, while new ones keep coming, at a steady pace or as fast as can be."""

import asyncio
from functools import partial

import psycopg

from bench import audit, work
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate
from bench.section import P50, P95, P99, RATE, Figures, Options, Results, Row, Target
from bench.spread import typical
from bench.stage import open_stage

NAME = "timers"
ABOUT = "Holds that run out two seconds after they were made: how late they are set free."
WHAT, STEADY, BUSY = "hold that ran out", "100 holds a second", "8 callers, as fast as they can"
_ARRIVALS = {STEADY: 100.0, BUSY: 0.0}
_CALLERS, _HOLD_SECONDS, _PATIENCE_SECONDS = 8, 2, 60
_LEFT = "SELECT count(*) FROM reservations WHERE status = 'pending'"
_LATENESS = """
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
        ORDER BY 1000 * EXTRACT(epoch FROM updated_at - expires_at)::float)
    FROM reservations WHERE status = 'expired' AND expires_at > %(since)s
"""


async def run(options: Options) -> Results:
    """Lateness is the time between `expires_at` and the row's change, both by the database's clock."""
    env = {"booking": {"PETPRO_BOOKING_HOLD_SECONDS": str(_HOLD_SECONDS)}}
    async with open_stage(env) as stage, open_meter(stage) as meter:
        contestants = [
            Contestant(WHAT, at, partial(_lateness, meter, options.seconds, arrivals))
            for at, arrivals in _ARRIVALS.items()
        ]
        rows = await alternate(contestants, options.rounds)
        return Results(rows, [*targets(rows), await audit.verdict(stage)])


async def _lateness(meter: Meter, seconds: float, arrivals: float) -> Figures:
    stage = meter.stage
    await stage.renew_token()
    async with await psycopg.AsyncConnection.connect(stage.dsn(), autocommit=True) as connection:
        since = (await (await connection.execute("SELECT now()")).fetchone() or (None,))[0]
        await meter.measure(work.hold(stage), _CALLERS, seconds, arrivals=arrivals)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (await (await connection.execute(_LEFT)).fetchone()) != (0,):
                await asyncio.sleep(0.2)
        found = await (await connection.execute(_LATENESS, {"since": since})).fetchone()
    assert found is not None
    p50, p95, p99 = found[1]
    return {RATE: found[0] / seconds, P50: p50, P95: p95, P99: p99}


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of timers."""
    late = {at: typical(rows, WHAT, at, P99) for at in _ARRIVALS}
    return [
        Target(f"timers, {at}: late by less than 250 ms at p99", f"{ms:.0f} ms", ms < 250) for at, ms in late.items()
    ]
