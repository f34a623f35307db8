"""A minute for every day: does everything still run, and at about what it did yesterday."""

from bench import audit, holds, sagas
from bench.limits_database import open_limits
from bench.measure import open_meter
from bench.rounds import alternate
from bench.section import Options, Results
from bench.stage import open_stage

NAME = "smoke"
ABOUT = "A minute: holds beside pgbench and sagas to their end, at 1 and 32 callers, one short round."
CALLERS = (1, 32)
_SECONDS = 2.0


async def run(options: Options) -> Results:
    """One round, short, whatever was asked for."""
    seconds = min(options.seconds, _SECONDS)
    async with open_stage() as stage, open_limits(stage) as limits, open_meter(stage) as meter:
        idle = stage.memory()
        kinds = sagas.Sagas(meter, seconds)
        contestants = [one for number in CALLERS for one in holds.contestants_at(limits, meter, number, seconds)]
        contestants += [one for number in CALLERS for one in kinds.contestants(number)]
        rows = await alternate(contestants, 1)
        asked = [*holds.targets(rows), *sagas.targets(rows), *holds.memory_targets(idle)]
        return Results(rows, [*asked, await audit.verdict(stage)])
