"""The cancellation as a DBOS workflow, run in the venv of requirements-dbos.lock. It is written in two ways.

Transactions: each step that writes is a transaction of the datasource. The business rows and the step's output commit
together, so DBOS promises it exactly once.

Steps: each step is a plain one, which DBOS promises at least once, so its statement is guarded. It is the faster way.

The provider's call is a plain step under one idempotency key in both.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable

import uvloop
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSConfig, SetWorkflowID, WorkflowHandleAsync
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text

from bench.peers import steps, worker

Write = Callable[[str, int], Awaitable[None]]
POOL = int(os.environ["DBOS_POOL"])
ENGINE = {"pool_size": POOL, "max_overflow": 0, "pool_pre_ping": False}


async def transactions(url: str) -> Write:
    """Writes exactly once."""
    business = await AsyncSQLAlchemyDatasource.create(url, engine_kwargs=ENGINE)
    statements = {step: text(statement) for step, statement in steps.statements(guarded=False).items()}

    @business.transaction(isolation_level="READ COMMITTED")
    async def write(step: str, number: int) -> None:
        await business.sql_session().execute(statements[step], steps.parameters(number))

    return write


async def plain_steps(url: str) -> Write:
    """Writes at least once, each in one round trip."""
    pool = AsyncConnectionPool(url, min_size=POOL, max_size=POOL, kwargs={"autocommit": True}, open=False)
    await pool.open(wait=True)
    named = re.compile(r"(?<!:):(\w+)")
    statements = {step: named.sub(r"%(\1)s", sql) for step, sql in steps.statements(guarded=True).items()}

    @DBOS.step()
    async def write(step: str, number: int) -> None:
        async with pool.connection() as connection:
            await connection.execute(statements[step].encode(), steps.parameters(number), prepare=True)

    return write


async def main() -> None:
    """Starts the executor, which takes up what it had begun before it was killed, and serves."""
    config: DBOSConfig = {
        "name": "cancellation",
        "system_database_url": os.environ["DBOS_SYSTEM_DATABASE_URL"],
        "executor_id": os.environ["DBOS_EXECUTOR"],
        "application_version": "1",
        "db_engine_kwargs": ENGINE,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    kind = {"transactions": transactions, "steps": plain_steps}[os.environ["DBOS_WRITES"]]
    write = await kind(os.environ["PEER_DATABASE_URL"])

    @DBOS.step(retries_allowed=True, max_attempts=10, interval_seconds=0.1)
    async def submit_refund(number: int) -> str:
        return await steps.submit_refund(number)

    @DBOS.workflow()
    async def cancellation(number: int) -> None:
        for step in steps.STEPS:
            await (submit_refund(number) if step == steps.SUBMIT else write(step, number))

    async def start(number: int) -> WorkflowHandleAsync[None]:
        with SetWorkflowID(f"cancellation:{number}"):
            return await DBOS.start_workflow_async(cancellation, number)

    async def run(number: int) -> None:
        await (await start(number)).get_result()

    await asyncio.to_thread(DBOS.launch)
    await worker.serve(run, start)


if __name__ == "__main__":
    uvloop.run(main())
