"""The played database of one service: runs statements, and commits or forgets."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, cast

from libs.common.tests.simulator.pauses import Pause
from libs.common.tests.simulator.statements import STATEMENTS, Params
from libs.common.tests.simulator.tables import Changes, Tables
from petpro_common import db


class Result:
    """The rows of a statement; a row of one column is its value."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows
        self.rowcount = len(rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def all(self) -> list[Any]:
        return self._rows

    def one(self) -> Any:
        (row,) = self._rows
        return row

    def scalars(self) -> list[Any]:
        return self._rows

    scalar = first
    scalar_one = one


class Transaction(Changes, db.Transaction):
    """Changes that are made by statements."""

    def __init__(self, tables: Tables) -> None:
        Changes.__init__(self, tables)
        db.Transaction.__init__(self, cast(Any, self))

    def write(self, statement: object, values: Params | None = None) -> None:
        STATEMENTS[id(statement)](self, values or {})

    async def execute_all(self, orders: Sequence[tuple[object, Params]]) -> Any:
        return [Result(STATEMENTS[id(statement)](self, params)) for statement, params in orders]

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """An error takes back what came after it."""
        size, late = self.mark(), {write: list(rows) for write, rows in self._late.items()}
        try:
            yield
        except BaseException:
            self.roll_back(size)
            self._late = late
            raise


class Database:
    """One process's connections to the tables; as `petpro_common.db.Database`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.on_messages: list[Callable[[list[Any]], None]] = []

    def transaction(self) -> "Block":
        return Block(self)

    def session(self) -> "Connection":
        return Connection(self.tables)


class Block:
    """A transaction that commits when its block ends; a process may die right before and right after."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tx = Transaction(database.tables)

    async def __aenter__(self) -> Transaction:
        return self._tx

    async def __aexit__(self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                await self._tx.flush()
                await Pause("before commit", is_in_transaction=True)
        except BaseException:
            self._tx.roll_back()
            raise
        if kind is not None:
            self._tx.roll_back()
            return
        if self._tx.has_messages:
            for woken in self._database.on_messages:
                woken(self._tx.messages)
        await Pause("after commit")


class Connection:
    """The relay's connection: each statement commits by itself."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None) -> None:
        return None

    async def execute(self, statement: object, params: Params = None) -> Any:
        await Pause("before a statement of the relay")
        return await Transaction(self._tables).execute(cast(Any, statement), params)
