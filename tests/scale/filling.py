"""Fills the tables of a running stack, as years of use would."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import psycopg

from devstack.layout import SERVICES
from devstack.postgres import role_of
from devstack.running import RunningStack
from tests.audit import size
from tests.world import Clinic, Customer

BOOKINGS = 5_000
"""So many there are of each of them, or more."""
WAITING = 1_000
"""So many wait, some for a person, the others for a time that is far."""

_BEGINS = datetime.now(UTC).replace(microsecond=0) - timedelta(days=60)
_APART = timedelta(days=4)
_OURS = Path(__file__).with_name("filler.sql").read_text()


def fill(stack: RunningStack, clinic: Clinic, person: Customer) -> None:
    """What is over. A quarter of it is about this clinic and its service, some about this person. Without ANALYZE."""
    _run(stack, clinic, person, ["everywhere", "{service}"], (size.STATEMENTS, _OURS))


def fill_up(stack: RunningStack, clinic: Clinic, person: Customer) -> None:
    """What waits; after `fill`."""
    _run(stack, clinic, person, ["{service}_waits"], (_OURS,))


def _run(stack: RunningStack, clinic: Clinic, person: Customer, parts: Sequence[str], scripts: Sequence[str]) -> None:
    given = {":clinic": f"'{clinic.id}'", ":service": f"'{clinic.service_id}'", ":user": f"'{person.id}'"}
    values = {**size.values(BOOKINGS, _BEGINS, _APART), **given, ":waiting": str(WAITING)}
    for service in SERVICES:
        with psycopg.connect(_superuser_dsn(stack, service), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("SET auto_explain.log_min_duration = -1")
            for part, script in product(parts, scripts):
                for statement in size.statements(script, part.format(service=service)):
                    connection.execute(size.filled(statement, values))


def vacuum(stack: RunningStack) -> None:
    """Has PostgreSQL know what is in the tables, and plan anew."""
    for service in SERVICES:
        with psycopg.connect(_superuser_dsn(stack, service), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _superuser_dsn(stack: RunningStack, service: str) -> str:
    server: str = stack.endpoints["postgres"]["dsn"]
    return f"{server.removesuffix('/postgres')}/{role_of(service)}"
