"""What becomes of the hot ways when much has been booked, searched, and left waiting.

Rows are loaded straight into the tables, with their indexes, as services would have left them over the years. Bookings
of the past are `completed` and lie in a partition for each quarter. The biggest sizes come with `--size full` alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import psycopg

from bench import supply, work
from bench.databases import DatabasesBySize
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate
from bench.section import RATE, Figures, Options, Results, Row, Target
from bench.spread import find, ratio
from bench.stage import open_stage

NAME = "growth"
ABOUT = "The hot ways at growing sizes, at 8 callers."
BOOKINGS = {"small": ((10_000, 1), (100_000, 12)), "full": ((10_000, 1), (1_000_000, 30), (10_000_000, 60))}
"""Bookings and the quarters over which they spread."""
CLINICS = {"small": (1_000, 20_000), "full": (1_000, 10_000, 100_000)}
WAITING = {"small": (0, 20_000), "full": (0, 100_000)}
IN_FLIGHT = {"small": (0, 10_000), "full": (0, 10_000)}
HOLD, LOOK_UP, CANCEL, SEARCH = "hold", "look-up of a booking", "cancellation saga", "five nearest clinics"
_CALLERS = 8
_SESSIONS = 2
"""That load bookings side by side."""
_SQL = Path(__file__).parent / "sql"
_SAME = 0.2
_CUSTOMER = "SELECT user_id FROM bookings LIMIT 1"
_OF_ALL_YEARS = """
    SELECT id FROM bookings WHERE user_id = %s AND status = 'completed' ORDER BY md5(id::text) LIMIT 1000
"""

Once = Callable[[], Awaitable[Figures]]


async def run(options: Options) -> Results:
    """One kind of growth after the other on one stack; sizes of bookings in turn, others on top of the one before."""
    async with open_stage() as stage, open_meter(stage) as meter:
        growth = _Growth(meter, options)
        rows = [*await growth.bookings(), *await growth.clinics(), *await growth.in_flight(), *await growth.waiting()]
    return Results(rows, targets(rows, options.size))


class _Growth:
    """Loads and measures."""

    def __init__(self, meter: Meter, options: Options) -> None:
        self._meter = meter
        self._stage = meter.stage
        self._options = options
        self._loaded = 0
        self._customer: object = None

    async def bookings(self) -> list[Row]:
        """All sizes in turn, each in a database of its own."""
        await supply.bookings(self._meter, 1)  # so that the customer is known
        [self._customer] = await self._fetch(_CUSTOMER)
        smallest, *bigger = BOOKINGS[self._options.size]
        databases = DatabasesBySize(self._stage, at_bookings(*smallest))
        await self._load_bookings(*smallest)
        for size in bigger:
            await databases.grow(at_bookings(*size))
            await self._load_bookings(*size)
        ways = {HOLD: self._hold, LOOK_UP: self._look_up, CANCEL: self._cancel}
        contestants = [
            Contestant(at_bookings(*size), what, partial(_at_size, databases, at_bookings(*size), once),
                       at_bookings(*smallest) if size != smallest else "")
            for what, once in ways.items() for size in (smallest, *bigger)
        ]  # fmt: skip
        return await alternate(contestants, self._options.rounds)

    async def _load_bookings(self, count: int, quarters: int) -> None:
        values = {"quarters": quarters, "more": 0, "clinic": self._stage.clinic_id, "customer": self._customer}
        await self._run("booking", "growth_bookings.sql", values)  # the partitions
        values["more"] = (count - self._loaded) // _SESSIONS
        await asyncio.gather(*(self._run("booking", "growth_bookings.sql", values) for _ in range(_SESSIONS)))
        await self._tidy("booking")
        self._loaded = count

    async def clinics(self) -> list[Row]:
        rows: list[Row] = []
        loaded = 0
        for count in CLINICS[self._options.size]:
            await self._load("catalog", "growth_clinics.sql", {"more": count - loaded})
            loaded = count
            rows += await self._measured(f"{count:,} clinics", {SEARCH: self._search})
        return rows

    async def in_flight(self) -> list[Row]:
        rows: list[Row] = []
        for count in IN_FLIGHT[self._options.size]:
            await self._load("booking", "growth_sagas.sql", {"count": count})
            rows += await self._measured(f"{count:,} sagas in flight", {CANCEL: self._cancel})
        return rows

    async def waiting(self) -> list[Row]:
        """With the broker away, so that the messages stay."""
        rows: list[Row] = []
        await self._stage.stack.stop_part("nats")
        for count in WAITING[self._options.size]:
            await self._load("booking", "growth_outbox.sql", {"count": count})
            rows += await self._measured(f"broker away, {count:,} messages waiting", {HOLD: self._hold})
        return rows

    async def _load(self, service: str, script: str, values: dict[str, object]) -> None:
        await self._run(service, script, values)
        await self._tidy(service)

    async def _run(self, service: str, script: str, values: dict[str, object]) -> None:
        statements = (_SQL / script).read_text().split(";\n")
        connect, cursors = psycopg.AsyncConnection.connect, psycopg.AsyncClientCursor
        async with await connect(self._stage.dsn(service), cursor_factory=cursors) as connection:
            for statement in filter(str.strip, statements):
                await connection.execute(statement, values)

    async def _fetch(self, query: str, *values: object) -> list[object]:
        async with await psycopg.AsyncConnection.connect(self._stage.dsn("booking")) as connection:
            return [value for [value] in await (await connection.execute(query.encode(), values)).fetchall()]

    async def _tidy(self, service: str) -> None:
        """As a database is that has had time to look after itself."""
        async with await psycopg.AsyncConnection.connect(self._stage.dsn(service), autocommit=True) as connection:
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")

    async def _measured(self, at: str, ways: dict[str, Once]) -> Sequence[Row]:
        return await alternate([Contestant(what, at, once) for what, once in ways.items()], self._options.rounds)

    async def _hold(self) -> Figures:
        await self._stage.renew_token()
        return await self._meter.measure(work.hold(self._stage), _CALLERS, self._options.seconds)

    async def _look_up(self) -> Figures:
        """Of the customer's bookings of all years, one after the other."""
        await self._stage.renew_token()
        booking_ids = [str(booking_id) for booking_id in await self._fetch(_OF_ALL_YEARS, self._customer)]
        return await self._meter.measure(work.look_up(self._stage, booking_ids), _CALLERS, self._options.seconds)

    async def _search(self) -> Figures:
        return await self._meter.measure(work.search(self._stage), _CALLERS, self._options.seconds)

    async def _cancel(self) -> Figures:
        bookings = await supply.bookings(self._meter, round(50 * self._options.seconds))
        cancel = work.cancellation(self._stage, bookings)
        return await self._meter.measure(cancel, _CALLERS, self._options.seconds, drains=True)


async def _at_size(databases: DatabasesBySize, size: str, once: Once) -> Figures:
    """One round at a size, after another that does not count: booking's connections are new, and each plans anew."""
    await databases.serve(size)
    await once()
    return await once()


def at_bookings(count: int, quarters: int) -> str:
    """How a size of the bookings is called."""
    return f"{count:,} bookings, {quarters} partition{'s' if quarters > 1 else ''}"


def targets(rows: list[Row], size: str) -> list[Target]:
    """What was asked: the biggest within a fifth of the smallest, round by round."""
    smallest, *_, biggest = (at_bookings(*one) for one in BOOKINGS[size])
    found = []
    for what in (LOOK_UP, HOLD, CANCEL):
        rate = ratio(find(rows, biggest, what).rounds, find(rows, smallest, what).rounds, RATE)
        asked = f"{what}: at {biggest} within 20 % of {smallest}"
        found.append(Target(asked, f"{rate} of the rate", rate.middle >= 1 - _SAME))
    return found
