"""What PostgreSQL does by itself: pgbench in a database of its own, on the server of the stage.

The scripts in `sql/` are the statements of hold, confirm and cancel on the same tables. What they write no service
sees, so the auditor finds the stack in order afterwards.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.measure import cpu_name
from bench.section import P50, P95, P99, RATE, Figures
from bench.stage import SLOTS, Stage
from devstack.postgres import BINARIES
from petpro_common.migrate import sqlalchemy_url, upgrade

_SCRIPTS = Path(__file__).parent / "sql"
_DATABASE = "petpro_bench"
_THINGS = {"hold": SLOTS, "hold_cte": SLOTS, "confirm": 20 * SLOTS, "cancel": 20 * SLOTS}


@dataclass(frozen=True)
class Limits:
    """The database, loaded."""

    stage: Stage
    dsn: str

    async def pgbench(self, script: str, callers: int, seconds: float) -> Figures:
        """One round of a script, a connection for each caller. Raises RuntimeError with pgbench's words."""
        log = self.stage.folder / "pgbench"
        before = self.stage.cpu()["postgres"]
        out = await self._run(script, callers, seconds, log)
        after = self.stage.cpu()["postgres"]
        rate = re.search(r"tps = ([0-9.]+)", out)
        if rate is None:
            raise RuntimeError(out)
        taken = _milliseconds(log)
        at = {name: taken[len(taken) * part // 100] for name, part in ((P50, 50), (P95, 95), (P99, 99))}
        return {RATE: float(rate[1]), **at, cpu_name("postgres"): (after - before) * 1000 / len(taken)}

    async def _run(self, script: str, callers: int, seconds: float, log: Path) -> str:
        options = ["-n", "-M", "prepared", "-f", str(_SCRIPTS / f"{script}.sql"), "-D", f"things={_THINGS[script]}"]
        load = ["-c", str(callers), "-j", str(min(callers, 2)), "-T", str(max(3 if callers > 8 else 1, round(seconds)))]
        command = [str(BINARIES / "pgbench"), *options, *load, "-l", "--log-prefix", str(log), self.dsn]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, err = (part.decode() for part in await process.communicate())
        if process.returncode != 0:
            raise RuntimeError(err or out)
        return out


@asynccontextmanager
async def open_limits(stage: Stage) -> AsyncIterator[Limits]:
    """Makes the database with booking's tables, and loads it."""
    postgres = stage.around.postgres
    await postgres.make_database(_DATABASE, "booking")
    owner = postgres.url("petpro_booking", _DATABASE)
    password = stage.around.secrets.database_password("booking")
    await asyncio.to_thread(upgrade, "petpro_booking", sqlalchemy_url(owner, password))
    dsn = postgres.superuser_url(_DATABASE)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute((_SCRIPTS / "load.sql").read_bytes())
    yield Limits(stage, dsn)


def _milliseconds(log: Path) -> list[float]:
    """What each transaction took, shortest first; the logs of the round are removed."""
    logs = list(log.parent.glob(f"{log.name}.*"))
    taken = sorted(int(line.split()[2]) / 1000 for one in logs for line in one.read_text().splitlines())
    for one in logs:
        one.unlink()
    return taken
