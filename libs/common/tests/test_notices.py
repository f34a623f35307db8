"""Notices: what one process tells after a commit all processes hear, and who may have missed some is told so."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text

from devstack import testing
from petpro_common import notices
from petpro_common.db import Database
from petpro_common.notices import Notices
from petpro_common.testing.running import eventually, running

_END_LISTENERS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN dogs'
""")


class Kennel:
    """A process that tells of dogs and hears of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.notices = Notices(database, database, "dogs")
        self.heard: list[set[str]] = []

    def hear(self, about: Collection[str]) -> None:
        self.heard.append(set(about))

    @property
    def dogs(self) -> set[str]:
        return set().union(*self.heard)

    async def tell(self, *dogs: str, statement: str = "SELECT 1") -> None:
        async with self.database.transaction() as tx:
            tx.tell("dogs", dogs)
            await tx.execute(text(statement))


@pytest.fixture
async def made(empty_database: testing.MakeDatabase) -> testing.Database:
    return await empty_database("booking")


@asynccontextmanager
async def kennel(made: testing.Database, *, listens: bool = True) -> AsyncIterator[Kennel]:
    database = Database(made.url, made.password)
    opened = Kennel(database)
    async with running(opened.notices.pass_on(), *([opened.notices.hear(opened.hear)] if listens else [])):
        if listens:
            await eventually(lambda: opened.heard == [set()])
        yield opened
    await database.close()


async def test_all_processes_hear_what_is_told_after_its_commit(made: testing.Database) -> None:
    async with kennel(made) as here, kennel(made) as there:
        await here.tell("Rex", "Bello")
        await there.tell("Milo")
        for each in (here, there):
            await eventually(lambda each=each: each.dogs == {"Rex", "Bello", "Milo"})  # type: ignore[misc]


async def test_what_is_rolled_back_is_not_told(made: testing.Database) -> None:
    async with kennel(made) as here:
        with pytest.raises(psycopg.Error):
            await here.tell("Rex", statement="SELECT 1 / 0")
        await here.tell("Milo")
        await eventually(lambda: here.dogs == {"Milo"})


async def test_what_is_too_much_to_be_named_may_be_anything(made: testing.Database) -> None:
    async with kennel(made) as here:
        await here.tell(*(str(number) for number in range(notices._MOST_NAMED + 1)))
        await here.tell()
        await eventually(lambda: len(here.heard) >= 2)
        assert here.dogs == set()


async def test_who_could_not_listen_hears_that_anything_may_have_happened(made: testing.Database) -> None:
    async with kennel(made) as here, kennel(made, listens=False) as there:
        async with there.database.transaction() as tx:
            assert len((await tx.execute(_END_LISTENERS)).all()) == 1
        await eventually(lambda: here.heard.count(set()) == 2)
        await there.tell("Rex")
        await eventually(lambda: here.dogs == {"Rex"})


async def test_what_could_not_be_passed_on_is_told_without_names(
    made: testing.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kennel(made) as here, kennel(made, listens=False) as there:
        monkeypatch.setattr(notices, "_NOTIFY", text("SELECT 1 / 0, :topic, :about"))
        await there.tell("Rex")
        await eventually(lambda: there.notices._about is None)
        monkeypatch.undo()
        await eventually(lambda: here.heard.count(set()) == 2)
        assert here.dogs == set()


async def test_what_is_told_before_it_is_passed_on_goes_together(made: testing.Database) -> None:
    dogs = {f"dog {number}" for number in range(100)}
    async with kennel(made) as here:
        slow = Kennel(here.database)  # which passes nothing on yet, nor does its notice go by `here`
        here.database._listeners["dogs"].remove(here.notices._gather)
        await asyncio.gather(*map(slow.tell, dogs))
        async with running(slow.notices.pass_on()):
            await eventually(lambda: here.heard == [set(), dogs])
