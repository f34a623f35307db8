"""The database of one service is brought back as it was some time ago: the auditor says exactly what is missing."""

import asyncio

import psycopg
import pytest
from psycopg import sql

from devstack.api import Json
from devstack.postgres import role_of
from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from tests.audit.looking import look_over, named
from tests.waiting import eventually
from tests.world import Customer, World, open_world

BOOKING = role_of("booking")
BACKUP = f"{BOOKING}_backup"
GRACE_SECONDS = 3


@pytest.fixture
def stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack()


async def test_the_auditor_names_what_a_restore_has_lost_and_nothing_else(stack: RunningStack) -> None:
    async with open_world(stack) as world:
        clinic = await world.clinic()
        stays, changes, comes_later = [await world.customer() for _ in range(3)]
        await world.book(stays, clinic.slot(0))
        changing = await world.book(changes, clinic.slot(1))
        await eventually("nothing to be wrong", lambda: _names(stack, set()))
        await _take_backup(stack)

        later = await world.book(comes_later, clinic.slot(2))
        await _cancelled(world, changes, changing)
        await _bring_back(stack)
        missing = {
            ("captured-money-has-a-booking", later["payment_id"]),
            ("captured-money-has-a-booking", changing["payment_id"]),
            ("cancellations-gave-their-refund", changing["id"]),
        }
        await asyncio.sleep(GRACE_SECONDS + 1)  # all that was done is older than the auditor's grace
        await eventually("all that is lost to be named, and nothing else", lambda: _names(stack, missing))


async def _names(stack: RunningStack, wrong: set[tuple[str, str]]) -> bool:
    return named(await asyncio.to_thread(look_over, stack, GRACE_SECONDS)) == wrong


async def _cancelled(world: World, who: Customer, booking: Json) -> None:
    await world.cancel(who.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")


async def _take_backup(stack: RunningStack) -> None:
    await stack.stop_part("booking")
    await _as_superuser(stack, f"CREATE DATABASE {BACKUP} OWNER {BOOKING} TEMPLATE {BOOKING}")
    await stack.start_part("booking")


async def _bring_back(stack: RunningStack) -> None:
    await stack.stop_part("booking")
    await _as_superuser(stack, f"DROP DATABASE {BOOKING} WITH (FORCE)")
    await _as_superuser(stack, f"ALTER DATABASE {BACKUP} RENAME TO {BOOKING}")
    await stack.start_part("booking")


async def _as_superuser(stack: RunningStack, statement: str) -> None:
    url = surroundings_of(stack).postgres.superuser_url()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL(statement))
