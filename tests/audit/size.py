"""How long the auditor takes at a size: `python -m tests.audit.size --bookings 200000`.

The databases of all services are filled by `size.sql` on a server of the program's own, with two months of clean
bookings. Then everything is audited once, and what changed in the newest hundredth once more. The provider is played
in this process: what a real one adds is its own time for an answer to each payment.
"""

import argparse
import hashlib
import re
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from devstack import testing
from devstack.layout import SERVICES
from devstack.running import RunningStack
from petproctl.audit.databases import Databases
from petproctl.audit.look import Scope
from petproctl.audit.provider import Charge, Return
from petproctl.audit.run import Report, audit

SPAN = timedelta(days=50)
AT_ONCE = 500
"""Bookings of one instant, one with each person."""
PRICE = Decimal(150000)
STATEMENTS = Path(__file__).with_name("size.sql").read_text()


class Played:
    """A provider that has taken and given back exactly what the databases say."""

    def __init__(self, bookings: int, begins: datetime, apart: timedelta) -> None:
        self._numbers = range(bookings)
        self._begins, self._apart = begins, apart

    def charges(self, since: datetime | None) -> Iterator[list[Charge]]:
        for numbers in self._pages(since, 1):
            yield [self._charge(n) for n in numbers]

    def refunds(self, since: datetime | None) -> Iterator[list[Return]]:
        for numbers in self._pages(since, 10):
            yield [Return(f"re_{n}", self._made("refund", n), PRICE, "succeeded", self._at(n)) for n in numbers]

    def charge(self, charge_id: str) -> Charge | None:
        return self._charge(int(charge_id.removeprefix("pi_")))

    def charges_of(self, reference: str) -> list[Charge]:
        raise AssertionError(f"nothing is suspected of {reference}")

    def refunds_of(self, reference: str) -> list[Return]:
        raise AssertionError(f"nothing is suspected of {reference}")

    def _pages(self, since: datetime | None, step: int) -> Iterator[range]:
        first = 0 if since is None else int((since - self._begins) / self._apart) * AT_ONCE
        numbers = self._numbers[first::step]
        return (numbers[at : at + 100] for at in range(0, len(numbers), 100))

    def _charge(self, n: int) -> Charge:
        refunded = Decimal(0) if n % 10 else PRICE
        return Charge(f"pi_{n}", self._made("payment", n), "IDR", PRICE, refunded, self._at(n))

    def _at(self, n: int) -> datetime:
        return self._begins + n // AT_ONCE * self._apart

    def _made(self, kind: str, n: int) -> str:
        """The id that `size.sql` makes."""
        digits = hashlib.md5(f"{kind}{n}".encode(), usedforsecurity=False).hexdigest()
        return str(UUID(f"{int(self._at(n).timestamp() * 1000):012x}7{digits[:3]}8{digits[3:18]}"))


async def fill(server: RunningStack, bookings: int, begins: datetime, apart: timedelta) -> dict[str, str]:
    """Databases of that size; the DSN of each service's."""
    dsns = {}
    for service in SERVICES:
        made = await testing.make_database(server, service, f"{service}_{uuid4().hex}")
        dsns[service] = made.dsn
        with psycopg.connect(made.superuser_dsn, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements(STATEMENTS, "everywhere") + statements(STATEMENTS, service):
                connection.execute(filled(statement, values(bookings, begins, apart)))
            connection.execute("VACUUM ANALYZE")
    return dsns


def statements(script: str, part: str) -> list[str]:
    """Those under that heading."""
    found = re.search(rf"^-- {part}$(.*?)(?=^-- \w+$|\Z)", script, re.MULTILINE | re.DOTALL)
    return found.group(1).split(";\n")[:-1] if found else []


def values(bookings: int, begins: datetime, apart: timedelta) -> dict[str, str]:
    """What stands for what in the statements."""
    return {":bookings": str(bookings), ":begins": f"'{begins}'", ":apart": f"'{apart.total_seconds()} seconds'"}


def filled(statement: str, values: Mapping[str, str]) -> bytes:
    return re.sub("|".join(values), lambda found: values[found.group()], statement).encode()


def look_over(dsns: dict[str, str], provider: Played, since: datetime | None) -> Report:
    with ExitStack() as open_things:
        databases = Databases(dsns, open_things)
        return audit(databases, provider, Scope(since, timedelta(seconds=60)))


def show(title: str, report: Report) -> None:
    """One line an invariant, and the sum."""
    table = Table("invariant", title=title)
    table.add_column("rows", justify="right")
    table.add_column("seconds", justify="right")
    for each in report.outcomes:
        table.add_row(each.invariant.name, f"{each.tally.rows:,}", f"{each.seconds:.1f}")
    rows = sum(each.tally.rows for each in report.outcomes)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add_row("all", f"{rows:,}", f"{report.seconds:.1f}", end_section=True)
    Console(width=110).print(table)
    print(f"{len(report.violations)} violations; the process has used {memory:.0f} MiB at the most")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.audit.size", description=__doc__)
    parser.add_argument("--bookings", type=int, default=200_000, help="at least 50,000")
    bookings: int = parser.parse_args().bookings
    apart = SPAN / (bookings / AT_ONCE)
    begins = datetime.now(UTC).replace(microsecond=0) - SPAN - timedelta(hours=1)
    folder = testing.open_folder()
    try:
        began = time.monotonic()
        server = testing.shared_stack("postgres", ["postgres"])
        dsns = uvloop.run(fill(server, bookings, begins, apart))
        print(f"{bookings:,} bookings made in {time.monotonic() - began:.0f} s")
        provider = Played(bookings, begins, apart)
        show("everything", look_over(dsns, provider, None))
        show("what changed in the newest hundredth", look_over(dsns, provider, begins + SPAN * 0.99))
    finally:
        testing.close_folder(folder, keep_logs=False)


if __name__ == "__main__":
    main()
