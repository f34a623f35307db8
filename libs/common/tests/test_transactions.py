"""One transaction: what is written late or without waiting, and parts of it that fail."""

from collections.abc import Sequence

import pytest
from psycopg.errors import CheckViolation, InFailedSqlTransaction
from sqlalchemy import text

from libs.common.tests.dogs import ADD, ADD_MANY, NAMES, add, names, open_kennel
from petpro_common.db import Database, LateWrite, Transaction
from petpro_common.rows import Rows
from petpro_common.testing.running import MakeDatabase
from petpro_common.wire import Call, Wire

_RENAME = text("UPDATE dogs SET name = :after WHERE name = :before")
_LATE = LateWrite(ADD_MANY, lambda names: {"names": names})


@pytest.fixture
async def database(database_of: MakeDatabase) -> Database:
    return await open_kennel(database_of)


async def test_late_rows_and_the_commit_fail_as_one(database: Database) -> None:
    async def write_late() -> None:
        async with database.transaction() as tx:
            await add(tx, "Rex")
            tx.write_late(_LATE, "Bo")
            tx.write_late(_LATE, "cat")

    with pytest.raises(CheckViolation):
        await write_late()
    assert await names(database) == []


async def test_a_part_that_fails_takes_back_only_itself(database: Database) -> None:
    async def part(tx: Transaction) -> None:
        async with tx.savepoint():
            tx.write_late(_LATE, "Ada")
            await add(tx, "Kim")
            async with tx.savepoint():
                await add(tx, "Max")
            await add(tx, "cat")

    async with database.transaction() as tx:
        await add(tx, "Rex")
        tx.write_late(_LATE, "Bo")
        with pytest.raises(CheckViolation):
            await part(tx)
        async with tx.savepoint():
            await add(tx, "Zoe")
    assert await names(database) == ["Bo", "Rex", "Zoe"]


async def test_a_part_that_fails_may_be_the_last_or_ask_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "Rex")
        with pytest.raises(ValueError, match="nothing"):
            async with tx.savepoint():
                raise ValueError("nothing was asked")
        with pytest.raises(CheckViolation):
            async with tx.savepoint():
                await add(tx, "cat")
    assert await names(database) == ["Rex"]


async def test_what_is_written_runs_in_its_place_at_no_round_trip_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges: list[int] = []
    run = Wire.run

    async def counted(wire: Wire, calls: Sequence[Call], may_take: float = 0.0) -> list[Rows]:
        exchanges.append(len(calls))
        return await run(wire, calls, may_take)

    monkeypatch.setattr(Wire, "run", counted)
    async with database.transaction() as tx:
        tx.write(ADD, {"name": "Rex"})
        tx.write(_RENAME, {"before": "Rex", "after": "Bo"})
        assert (await tx.execute(NAMES)).scalars() == ["Bo"]
        tx.write(ADD, {"name": "Kim"})
    async with database.transaction() as tx:
        tx.write(ADD, {"name": "Ada"})
    assert exchanges == [4, 2, 3]
    assert await names(database) == ["Ada", "Bo", "Kim"]


async def test_what_is_written_and_fails_raises_with_the_next_statement_or_the_commit(database: Database) -> None:
    async def write(then_look: bool) -> None:
        async with database.transaction() as tx:
            await add(tx, "Rex")
            tx.write(ADD, {"name": "cat"})
            if then_look:
                with pytest.raises(CheckViolation):
                    await tx.execute(NAMES)

    with pytest.raises(InFailedSqlTransaction):
        await write(then_look=True)
    with pytest.raises(CheckViolation):
        await write(then_look=False)
    assert await names(database) == []


async def test_what_is_written_in_a_part_fails_within_the_part(database: Database) -> None:
    async def part(tx: Transaction, *dogs: str, fault: Exception | None = None) -> None:
        async with tx.savepoint():
            for name in dogs:
                tx.write(ADD, {"name": name})
            if fault:
                raise fault

    async with database.transaction() as tx:
        tx.write(ADD, {"name": "Rex"})
        with pytest.raises(ValueError, match="nothing was sent"):
            await part(tx, "Max", fault=ValueError("nothing was sent"))
        with pytest.raises(CheckViolation):
            await part(tx, "Zoe", "cat")
        await part(tx, "Bo")
    assert await names(database) == ["Bo", "Rex"]


async def test_what_is_done_at_the_end_is_done_once_for_all_but_a_part_that_failed(database: Database) -> None:
    async def take_in(tx: Transaction, dogs: list[str]) -> None:
        tx.write(ADD, {"name": "+".join(dogs)})

    async def part(tx: Transaction) -> None:
        async with tx.savepoint():
            tx.at_end(take_in, "Max")
            raise ValueError("ill")

    async with database.transaction() as tx:
        tx.at_end(take_in, "Rex")
        with pytest.raises(ValueError, match="ill"):
            await part(tx)
        tx.at_end(take_in, "Bo")
    assert await names(database) == ["Rex+Bo"]


async def test_statements_at_once_commit_or_fail_as_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanges: list[int] = []
    run = Wire.run

    async def count(wire: Wire, calls: Sequence[Call], may_take: float = 0.0) -> list[Rows]:
        exchanges.append(len(calls))
        return await run(wire, calls, may_take)

    monkeypatch.setattr(Wire, "run", count)
    added, found = await database.at_once([(ADD, {"name": "Rex"}), (NAMES, {})])
    assert (added.rowcount, found.scalars(), exchanges) == (1, ["Rex"], [4])
    with pytest.raises(CheckViolation):
        await database.at_once([(ADD, {"name": "Bo"}), (ADD, {"name": "cat"})])
    assert await names(database) == ["Rex"]


async def test_what_follows_the_commit_follows_nothing_that_was_rolled_back(database: Database) -> None:
    done: list[str] = []

    async def part(tx: Transaction) -> None:
        async with tx.savepoint():
            tx.after_commit(lambda: done.append("a part that failed"))
            raise ValueError("ill")

    async def fail() -> None:
        async with database.transaction() as tx:
            tx.after_commit(lambda: done.append("what did not commit"))
            tx.write(ADD, {"name": "cat"})

    async with database.transaction() as tx:
        await add(tx, "Rex")
        tx.after_commit(lambda: done.append("all"))
        with pytest.raises(ValueError, match="ill"):
            await part(tx)
        assert not done
    assert done == ["all"]
    with pytest.raises(CheckViolation):
        await fail()
    assert done == ["all"]
