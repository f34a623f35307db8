"""No statement that locks or changes rows finds out while it runs in which partitions to look.

PostgreSQL 18 up to 18.6 forgets it when it had to wait for a row and looks at it anew: it finds no row after that, or
goes down. What is said by parameters alone is known before, and is not forgotten.
"""

import contextlib
import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeAlias

import psycopg
import pytest
from psycopg.errors import SyntaxError as NoPlan
from sqlalchemy import TextClause

import petpro_booking
from devstack.testing import MakeDatabase
from petpro_booking.partitioned import ForEach
from petpro_common import db

PlanOf: TypeAlias = Callable[[str], Awaitable[str]]

_PARAMETER = re.compile(r"(?<!:):(\w+)")
_PRUNES = re.compile(r":exec_pruning_steps \(")
_LOCKS = re.compile(r"\{LOCKROWS|\{MODIFYTABLE :(?:(?! :operation).)*? :operation [245]")
_PRUNES_AND_LOCKS = """
    SELECT found.* FROM unnest(CAST(:ids AS uuid[])) AS given(id) CROSS JOIN LATERAL (
        SELECT * FROM bookings WHERE id = given.id AND created_at = uuid_extract_timestamp(given.id)
        OFFSET 0 FOR UPDATE) found
"""
_PRUNES_AND_CHANGES = """
    WITH given AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:days AS date[])) AS given(id, day))
    UPDATE slots SET status = 'blocked' FROM given WHERE slots.id = given.id AND slot_date = given.day
"""


def statements() -> Iterator[tuple[str, str]]:
    """Every statement that a module of booking keeps, in each of its shapes."""
    for module in pkgutil.iter_modules(petpro_booking.__path__, "petpro_booking."):
        if not module.name.endswith("__main__"):
            for name, kept in vars(importlib.import_module(module.name)).items():
                if isinstance(kept, TextClause):
                    yield f"{module.name}.{name}", kept.text
                elif isinstance(kept, ForEach):
                    yield f"{module.name}.{name}, one", kept._one.text
                    yield f"{module.name}.{name}, several", kept._several.text


@pytest.fixture
async def plan_of(database: MakeDatabase) -> AsyncIterator[PlanOf]:
    """Tells the plan that a connection of the service would keep for a statement; empty of one that has none."""
    said: list[str] = []
    own = f"{db._INDEXES_ONLY} {db._BY_KEY} -c client_min_messages=log -c debug_print_plan=on"
    async with await psycopg.AsyncConnection.connect((await database("booking")).dsn, options=own) as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_detail or ""))

        async def plan(statement: str) -> str:
            names = list(dict.fromkeys(_PARAMETER.findall(statement)))
            numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
            said.clear()
            with contextlib.suppress(NoPlan):
                async with connection.transaction():
                    await connection.execute(f"EXPLAIN (GENERIC_PLAN) {numbered}".encode())
            return " ".join(" ".join(said).split())

        yield plan


async def test_what_locks_or_changes_rows_knows_its_partitions_before_it_runs(plan_of: PlanOf) -> None:
    plans = {name: await plan_of(statement) for name, statement in statements()}
    assert [name for name, plan in plans.items() if is_exposed(plan)] == []
    assert sum(bool(_LOCKS.search(plan)) for plan in plans.values()) > 20
    assert any(_PRUNES.search(plan) for plan in plans.values()), "a look-up may"


@pytest.mark.parametrize("statement", [_PRUNES_AND_LOCKS, _PRUNES_AND_CHANGES], ids=["locks", "changes"])
async def test_what_would_be_found_is(plan_of: PlanOf, statement: str) -> None:
    assert is_exposed(await plan_of(statement))


def is_exposed(plan: str) -> bool:
    return bool(_PRUNES.search(plan) and _LOCKS.search(plan))
