"""The database of one service is brought back as it was some time ago: the auditor says exactly what is missing."""

import asyncio
import re
import subprocess

import psycopg
import pytest
from psycopg import sql

from devstack.api import Json
from devstack.layout import ROOT
from devstack.postgres import BINARIES, role_of
from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from tests.audit.looking import look_over, named
from tests.waiting import eventually
from tests.world import Customer, World, open_world

OPERATIONS = ROOT / "docs" / "operations.md"
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
    """By the statements that the document has typed, beside a connection that a pooler would leave open."""
    await stack.stop_part("booking")
    (typed,) = re.findall(r"<<SQL\n(.*?)^ *SQL$", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    postgres = surroundings_of(stack).postgres
    with psycopg.connect(postgres.service_url("booking")):
        for statement in typed.split(";"):
            await _as_superuser(stack, statement)
    await asyncio.to_thread(_copy, postgres.superuser_url(BACKUP), postgres.superuser_url(BOOKING))
    await stack.start_part("booking")


def _copy(source: str, target: str) -> None:
    dumped = subprocess.run([BINARIES / "pg_dump", "-Fc", source], check=True, capture_output=True)
    subprocess.run([BINARIES / "pg_restore", "--single-transaction", "-d", target], check=True, input=dumped.stdout)


async def _as_superuser(stack: RunningStack, statement: str) -> None:
    url = surroundings_of(stack).postgres.superuser_url()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL(statement))
