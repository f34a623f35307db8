"""One turn of a service's upkeep, and no more: `python -m petpro_common.job petpro_booking expiry`.

The services do all of it by themselves. A CronJob does it once more, from a process of its own: it finds what is left
undone when a background task of the service hangs, and its failure is seen by whoever watches the cluster. Every job
may run beside the service's own task and beside itself. What it has to tell others waits in the outbox, where the
service's relay finds it.

A service's jobs are those of its module `jobs`; one without the module has the purge alone.
"""

import asyncio
import importlib
import importlib.util
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog

from petpro_common import logs
from petpro_common.db import Database
from petpro_common.housekeeping import purge_all
from petpro_common.settings import ServiceSettings

Job: TypeAlias = Callable[[Database], Awaitable[None]]

_log = structlog.get_logger()


def jobs_of(package: str) -> Mapping[str, Job]:
    """The jobs of a service, by name."""
    if importlib.util.find_spec(f"{package}.jobs") is None:
        return {"purge": purge_all}
    jobs: Mapping[str, Job] = importlib.import_module(f"{package}.jobs").JOBS
    return jobs


async def run(package: str, name: str, settings: ServiceSettings) -> None:
    """Does one job with the settings of its service, on one connection. Raises KeyError when there is no such job."""
    job = jobs_of(package)[name]
    database = Database(settings.database_url, settings.database_password_now, 1, settings.plans_by_key)
    started = time.monotonic()
    try:
        await job(database)
    finally:
        await database.close()
    _log.info("job done", job=name, seconds=round(time.monotonic() - started, 3))


def main(package: str, name: str) -> None:
    """Does the job with what the environment says; a fault ends the process with an error."""
    settings: ServiceSettings = importlib.import_module(f"{package}.settings").Settings.load()
    logs.configure(settings.service, settings.log_level)
    asyncio.run(run(package, name, settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
