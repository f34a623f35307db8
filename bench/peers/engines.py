"""The peers: a database made for each, and the processes of each way to run it."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.peers import venvs
from bench.peers.business import Business, make_database, open_business, provider_of
from bench.peers.crew import Crew, Program
from bench.stage import Stage
from petpro_common.messaging import schema as messaging
from petpro_common.saga import schema as saga

DBOS_POOL = 20
"""Connections of each pool, DBOS' own default."""
DBOS_TRANSACTIONS, DBOS_STEPS = "DBOS, transactions", "DBOS, steps"
AS_IT_COMES, NATSAGA_SHORT_POLL = "natsaga, as it comes", "natsaga, 10 ms poll"
NATSAGA_HALVES = f"{NATSAGA_SHORT_POLL}, 2 processes"
SHORT_POLL_SECONDS = 0.01
PETPRO_ENGINE = "PetPro's engine, same steps"
PETPRO_APART = f"{PETPRO_ENGINE}, none along"
PETPRO_HALVES = f"{PETPRO_ENGINE}, 2 processes"
_TABLES = "".join((
    *(messaging.MESSAGING_V1, messaging.MESSAGING_V2, messaging.PARKED_V2, messaging.STORAGE_V1),
    *(messaging.HAND_OFF_V1, messaging.HAND_OFF_V2, messaging.PARKED_V3),
    *(saga.SAGA_V1, saga.SAGA_V2, saga.SAGA_STORAGE_V1, saga.SAGA_TIMELINE_V2),
))  # fmt: skip


@dataclass
class Engine:
    """A peer that is ready to run cancellations of its `business`."""

    business: Business
    log: Path
    ways: Mapping[str, Sequence[Program]]
    """The processes of each way to run it."""
    next: int = 1
    """The first booking that is not yet cancelled."""

    def crew(self, way: str) -> Crew:
        """Its processes, not yet started."""
        return Crew(self.ways[way], self.log)


async def petpro(stage: Stage, bookings: int) -> Engine:
    """Its engine and messaging without its services: in one process, or in two with a database each.

    Steps of payment go along with each other, as in PetPro, or each travels by itself.
    """
    business = await _with_tables(await open_business(stage.stack, "peer_petpro", bookings))
    payments = await _with_tables(await open_business(stage.stack, "peer_petpro_payment", bookings))

    def program(role: str, owned: Business, along: str = "yes") -> Program:
        settings = {"PETPRO_ROLE": role, "PETPRO_ALONG": along, "PEER_NATS_URL": stage.around.nats.operator_url}
        env = {**_environment(stage, owned), **settings}
        return Program(Path(sys.executable), "bench.peers.petpro_cancellation", env, leads=role != "participants")

    ways = {
        PETPRO_ENGINE: [program("all", business)],
        PETPRO_APART: [program("all", business, along="no")],
        PETPRO_HALVES: [program("orchestrator", business), program("participants", payments)],
    }
    return Engine(business, stage.folder / "petpro.log", ways)


async def _with_tables(business: Business) -> Business:
    async with await psycopg.AsyncConnection.connect(business.url, autocommit=True) as connection:
        await connection.execute(_TABLES.encode())
    return business


async def dbos(stage: Stage, bookings: int) -> Engine:
    """Executors that begin workflows themselves, without a queue; the system database is on the same server."""
    python = await asyncio.to_thread(venvs.ensure, "dbos")
    business = await open_business(stage.stack, "peer_dbos", bookings)
    env = _environment(stage, business) | {
        "DBOS_POOL": str(DBOS_POOL),
        "DBOS_SYSTEM_DATABASE_URL": await make_database(stage.stack, "peer_dbos_system"),
    }

    def executor(number: int, writes: str) -> Program:
        settings = {"DBOS_EXECUTOR": f"executor-{number}", "DBOS_WRITES": writes}
        return Program(python, "bench.peers.dbos_cancellation", {**env, **settings})

    ways = {
        DBOS_TRANSACTIONS: [executor(0, "transactions")],
        DBOS_STEPS: [executor(0, "steps")],
        f"{DBOS_STEPS}, 2 processes": [executor(number, "steps") for number in range(2)],
    }
    return Engine(business, stage.folder / "dbos.log", ways)


async def natsaga(stage: Stage, bookings: int) -> Engine:
    """Everything in one process, or the participants in a second, as booking and payment are two."""
    python = await asyncio.to_thread(venvs.ensure, "natsaga")
    business = await open_business(stage.stack, "peer_natsaga", bookings)
    env = _environment(stage, business) | {"PEER_NATS_URL": stage.around.nats.operator_url}
    tables = await asyncio.create_subprocess_exec(python, "-m", "bench.peers.natsaga_tables", env=env)
    if await tables.wait() != 0:
        raise RuntimeError("natsaga did not make its tables")

    def program(role: str, poll_seconds: float) -> Program:
        settings = {"NATSAGA_ROLE": role, "NATSAGA_POLL_SECONDS": str(poll_seconds)}
        return Program(python, "bench.peers.natsaga_cancellation", {**env, **settings}, leads=role != "participants")

    ways = {
        AS_IT_COMES: [program("all", 1.0)],
        NATSAGA_SHORT_POLL: [program("all", SHORT_POLL_SECONDS)],
        NATSAGA_HALVES: [program(role, SHORT_POLL_SECONDS) for role in ("orchestrator", "participants")],
    }
    return Engine(business, stage.folder / "natsaga.log", ways)


def _environment(stage: Stage, business: Business) -> dict[str, str]:
    url, key = provider_of(stage.stack)
    return {
        "PEER_NAME": business.name,
        "PEER_DATABASE_URL": business.url,
        "PEER_PROVIDER_URL": url,
        "PEER_PROVIDER_KEY": key,
        "PEER_INTENTS": " ".join(business.intents),
    }
