"""A long absence of the broker, on a real PostgreSQL and NATS: what it costs meanwhile, and what comes out afterwards.

    make outage ROWS=100000

Writers write while the broker is down, each message in a transaction of its own; the outbox is held against a limit of
half of that, and a caller asks for new work when it is full. Then the broker comes back. A consumer writes down what it
hears, and that is held against what was written. The exit code is 1 when something is wrong.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from sqlalchemy import text

from devstack import testing
from devstack.running import RunningStack
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_common.context import ends_what_was_begun
from petpro_common.db import Database, Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.relay import Relay
from petpro_common.testing import KeyRing, eventually, running, serving

CLINICS = 500
WRITERS = 8
ASKED = 20
MOST_MEGABYTES = 64.0
_LOOK_SECONDS = 0.2  # counting must not hold up what is counted
_SLOWEST = 200.0  # messages a second; what has not come out at that rate counts as lost
HOLD = booking_pb2.CreateReservationRequest(slot_id=str(new_id()), pet_id=str(new_id()))
END = booking_pb2.CancelReservationRequest(reservation_id=str(new_id()))
_IDS = [new_id() for _ in range(CLINICS + 2)]
_NAME = "Happy Paws Veterinary Clinic and Grooming, Jakarta Selatan; " * 5  # events are about as long as ours

_HEARD = "CREATE TABLE heard (id bigint GENERATED ALWAYS AS IDENTITY, clinic integer NOT NULL, number integer NOT NULL)"
_HEAR = text("INSERT INTO heard (clinic, number) VALUES (:clinic, :number)")
_COUNTED = text("""
    SELECT count(*) AS heard, count(DISTINCT (clinic, number)) AS once, count(*) FILTER (WHERE number < before) AS late
    FROM (SELECT clinic, number, lag(number) OVER (PARTITION BY clinic ORDER BY id) AS before FROM heard) AS in_order
""")
_LEFT = text("SELECT count(*) FROM outbox WHERE published_at IS NULL")


@dataclass(frozen=True)
class Report:
    """What came of an outage. Rates are messages a second; memory is of the process with relay and writers."""

    rows: int
    written_at_first: float
    written_at_last: float
    memory_grew_megabytes: float
    refused: str
    drain_seconds: float
    drained: float
    lost: int
    out_of_order: int
    doubled: int
    wrong: list[str]

    def lines(self) -> list[str]:
        """The report as a table."""
        values = {name.replace("_", " "): value for name, value in asdict(self).items()}
        return [
            f"{name:>22}  {f'{value:,.1f}' if isinstance(value, float) else value}" for name, value in values.items()
        ]


class Reservations(booking_pb2_grpc.ReservationServiceServicer):
    """A hold begins something and its cancellation ends it; either writes a message and nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateReservation(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _say(self._database, CLINICS, number=0)
        return booking_pb2.CreateReservationResponse()

    @ends_what_was_begun
    async def CancelReservation(self, request: Any, context: Any) -> Any:  # noqa: N802
        await _say(self._database, CLINICS + 1, number=0)
        return booking_pb2.CancelReservationResponse()


async def play(rows: int, catalog: Database, booking: Database, nats: RunningStack, folder: Path) -> Report:
    """One outage in which `rows` messages are written. `booking` hears them, and has no table `heard` yet."""
    around = testing.broker(nats)
    speaking, hearing = (Broker(name, around.url, around.passwords[name]) for name in ("catalog", "booking"))
    backlog, memory = Backlog(catalog, rows // 2), _Memory()
    work = (speaking.run(), hearing.run(), Relay(catalog, speaking).run(), backlog.run(), memory.run())
    async with running(*work), _asking(catalog, folder) as stub:
        await asyncio.gather(speaking.until_connected(), hearing.until_connected())
        await nats.kill("nats")
        memory.begin()
        rates = await _write(catalog, rows)
        await eventually(lambda: backlog.is_full)
        refused, wrong = await _ask(catalog, stub)
        began = time.monotonic()
        await nats.start_part("nats")
        await eventually(lambda: _is_drained(catalog), 30 + rows / _SLOWEST)
        drained_in, grown = time.monotonic() - began, memory.grown()
        await eventually(lambda: not backlog.is_full)
        await stub.CreateReservation(HOLD)
        lost, late, doubled = await _hear(rows + 2, booking, hearing)
    for broker in (speaking, hearing):
        await broker.close()
    wrong += _judged(grown, lost, late, doubled)
    drained = rows / drained_in
    return Report(rows, rates[0], rates[-1], grown, refused, drained_in, drained, lost, late, doubled, wrong)


def _judged(grown: float, lost: int, late: int, doubled: int) -> list[str]:
    wrong = {"lost": lost, "out of order": late, "doubled": doubled}
    found = [f"{count} messages were {what}" for what, count in wrong.items() if count]
    return found + ([f"memory grew by {grown:.0f} MB"] if grown > MOST_MEGABYTES else [])


class _Memory:
    """The resident memory of this process in megabytes, watched ten times a second."""

    def __init__(self) -> None:
        self._at_first = self._most = 0.0

    def begin(self) -> None:
        self._at_first = self._most = self._now()

    async def run(self) -> None:
        while True:
            self._most = max(self._most, self._now())
            await asyncio.sleep(0.1)

    def grown(self) -> float:
        return self._most - self._at_first

    def _now(self) -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def _say(database: Database, clinic: int, number: int) -> None:
    async with database.transaction() as tx:
        about = _IDS[clinic]
        fields = {"clinic_id": about, "clinic": clinic, "number": number, "name": _NAME}
        add_event(tx, "catalog", "clinic.changed", about, fields)


async def _write(database: Database, rows: int) -> list[float]:
    """Writes with several writers, each about clinics of its own; the rate of each tenth."""
    rates = []
    for tenth in range(10):
        began = time.monotonic()
        numbers = range(rows * tenth // 10, rows * (tenth + 1) // 10)
        await asyncio.gather(*(_write_some(database, numbers, writer) for writer in range(WRITERS)))
        rates.append(len(numbers) / (time.monotonic() - began))
    return rates


async def _write_some(database: Database, numbers: range, writer: int) -> None:
    for number in numbers:
        if number % CLINICS % WRITERS == writer:
            await _say(database, number % CLINICS, number)


@contextlib.asynccontextmanager
async def _asking(database: Database, folder: Path) -> AsyncIterator[Any]:
    """A stub of servicers behind the real edge."""

    def register(server: aio.Server) -> None:
        played = Reservations(database)  # type: ignore[abstract]  # the other RPCs are not asked for
        booking_pb2_grpc.add_ReservationServiceServicer_to_server(played, server)

    async with serving("booking", KeyRing(folder).verifier(), register) as channel:
        yield booking_pb2_grpc.ReservationServiceStub(channel)


async def _ask(database: Database, stub: Any) -> tuple[str, list[str]]:
    """Asks for new work, which is refused, and for the end of something, which is taken; what was said, and wrong."""
    before = await _count(database)
    answers = [await _answer(stub.CreateReservation(HOLD)) for _ in range(ASKED)]
    wrong = [] if await _count(database) == before else ["something is left of what was refused"]
    if set(answers) != {_REFUSED}:
        wrong.append(f"new work was answered {sorted(set(answers))}")
    if (ended := await _answer(stub.CancelReservation(END))) != "taken":
        wrong.append(f"the end of what was begun was answered {ended}")
    return f"{answers.count(_REFUSED)} of {ASKED}, {answers[0]}", wrong


_REFUSED = "RESOURCE_EXHAUSTED OUTBOX_FULL, again after 15 s"


async def _answer(call: Any) -> str:
    try:
        await call
    except aio.AioRpcError as refusal:
        return f"{refusal.code().name} {_details(refusal)}"
    return "taken"


def _details(refusal: Any) -> str:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    status = rpc_status.from_call(refusal)
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(retry)
    return f"{info.reason}, again after {retry.retry_delay.seconds} s"


async def _count(database: Database) -> int:
    async with database.transaction() as tx:
        return int((await tx.execute(_LEFT)).scalar_one())


async def _is_drained(database: Database) -> bool:
    await asyncio.sleep(_LOOK_SECONDS)
    return await _count(database) == 0


async def _hear(sent: int, database: Database, broker: Broker) -> tuple[int, int, int]:
    """Lets a consumer hear everything, and a little longer; how much was lost, out of order, doubled."""
    async with database.transaction() as tx:
        await tx.execute(text(_HEARD))

    async def on_clinic(tx: Transaction, event: Event) -> None:
        await tx.execute(_HEAR, {"clinic": event["clinic"], "number": event["number"]})

    async def has_heard() -> bool:
        await asyncio.sleep(_LOOK_SECONDS)
        return int((await _heard(database)).once) >= sent

    async with running(event_consumer(database, broker, {"clinic.changed": on_clinic}).run()):
        with contextlib.suppress(TimeoutError):
            await eventually(has_heard, 30 + sent / _SLOWEST)
        await asyncio.sleep(0.3)
    heard = await _heard(database)
    return sent - heard.once, heard.late, heard.heard - heard.once


async def _heard(database: Database) -> Any:
    async with database.transaction() as tx:
        return (await tx.execute(_COUNTED)).one()


async def _run(rows: int) -> Report:
    folder = testing.open_folder()
    try:
        stack = testing.start_stack(folder / "outage", ["postgres", "nats"])
        try:
            made = [await testing.make_database(stack, name, f"outage_{name}") for name in ("catalog", "booking")]
            catalog, booking = (Database(one.url, one.password) for one in made)
            report = await play(rows, catalog, booking, stack, folder)
            await catalog.close()
            await booking.close()
            return report
        finally:
            testing.stop_stack(stack)
    finally:
        testing.close_folder(folder, keep_logs=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.common.tests.messaging.outage")
    parser.add_argument("--rows", type=int, default=100_000)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    report = uvloop.run(_run(parser.parse_args().rows))
    print("\n".join(report.lines()))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
