"""The database of a service: transactions, and nothing else.

The edges (servicer, consumer, background task) open a transaction and it commits once, when their block ends. Use
cases and stores take the transaction as their first argument and never commit. No network call is made inside one.

Statements are SQLAlchemy's and run on psycopg without SQLAlchemy between (docs/adr/0010-straight-to-the-driver.md).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from psycopg.conninfo import make_conninfo
from sqlalchemy import ClauseElement

from petpro_common import kill_points
from petpro_common.kill_points import Moment
from petpro_common.pool import Connection, Pool
from petpro_common.statements import compiled

Row: TypeAlias = Any
"""A row: a named tuple of its columns."""

_OPTIONS = "-c timezone=UTC -c statement_timeout=8000 -c idle_in_transaction_session_timeout=15000 -c lock_timeout=5000"
_INDEXES_ONLY = "-c enable_seqscan=off"
_BY_KEY = "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off"
_CHECKOUT_SECONDS = 5


class Rows:
    """What a statement gave."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """How many rows it returned or changed."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def all(self) -> list[Row]:
        return self._rows

    def first(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """The only row. Raises ValueError when there is none, or more than one."""
        (row,) = self._rows
        return row

    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self._rows]

    def scalar(self) -> Any:
        """The first column of the first row; None when there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row. Raises ValueError when there is none, or more than one."""
        return self.one()[0]


class Session:
    """A connection in somebody's hands, on which statements run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None) -> Rows:
        """Runs a statement and fetches its rows. Raises psycopg.Error."""
        given = values or {}
        ready = compiled(statement, given)
        cursor = await self._connection.execute(ready.sql, ready.values(given))
        return Rows(await cursor.fetchall() if cursor.description else [], cursor.rowcount)

    async def notifications(self, listen: ClauseElement) -> AsyncIterator[None]:
        """Runs a LISTEN, and comes once for each notification; nothing else runs on the session meanwhile."""
        await self.execute(listen)
        async for _ in self._connection.notifies():
            yield


class Transaction(Session):
    """A session whose statements commit together."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.has_messages = False
        self.messages: list[Any] = []
        self.told: set[str] = set()
        self._late: dict[WriteRows, list[Any]] = {}

    def tell(self, topic: str) -> None:
        """Has those who listen to `topic` (`Database.listen`) called after the commit."""
        self.told.add(topic)

    def write_late(self, write: "WriteRows", row: Any) -> None:
        """Has `write` write the row right before the commit, by one statement with all others that it is given.

        Until then no statement of this transaction sees it; `flush` writes it earlier.
        """
        self._late.setdefault(write, []).append(row)

    async def flush(self) -> None:
        """Writes now what was to be written late, so that what follows sees it."""
        late, self._late = self._late, {}
        for write, rows in late.items():
            await write(self, rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that is rolled back by itself when its block raises."""
        before = {write: list(rows) for write, rows in self._late.items()}
        try:
            async with self._connection.transaction():
                yield
        except BaseException:
            self._late = before
            raise


WriteRows: TypeAlias = Callable[[Transaction, list[Any]], Awaitable[None]]


class Database:
    """A pool of connections.

    Around each commit that wrote to the outbox all of `before_messages` are called, whose errors roll it back, and then
    all of `on_messages`, with the messages that it wrote.

    Tables are read by their indexes: a plan is kept, and one made while a table was small would go on reading the whole
    of it. With `plans_by_key` statements are moreover planned once for all values, to find few rows by their keys:
    planning costs several times what most of them take.
    """

    def __init__(self, database_url: str, password: str, pool_size: int = 10, plans_by_key: bool = True) -> None:
        settings = {
            "options": f"{_OPTIONS} {_INDEXES_ONLY} {_BY_KEY if plans_by_key else ''}",
            "prepare_threshold": 0,
            "connect_timeout": 5,
        }
        self._pool = Pool(make_conninfo(database_url, password=password), pool_size, _CHECKOUT_SECONDS, settings)
        self.before_messages: list[Callable[[], None]] = []
        self.on_messages: list[Callable[[list[Any]], None]] = []
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def listen(self, topic: str, listener: Callable[[], None]) -> None:
        """Calls `listener` after each commit of a transaction that told of `topic`."""
        self._listeners.setdefault(topic, []).append(listener)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction at READ COMMITTED: committed when the block ends, rolled back when it raises.

        Raises psycopg.OperationalError when the server is away, and PoolExhausted.
        """
        async with self._pool.connection() as connection:
            tx = Transaction(connection)
            yield tx
            await tx.flush()
            if tx.has_messages:
                for asked in self.before_messages:
                    asked()
            kill_points.reach(Moment.BEFORE_COMMIT)
            await connection.commit()
            kill_points.reach(Moment.AFTER_COMMIT)
        if tx.has_messages:
            for woken in self.on_messages:
                woken(tx.messages)
        for topic in tx.told:
            for listener in self._listeners.get(topic, ()):
                listener()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection beside the pool on which each statement commits by itself; it is closed afterwards."""
        connection = await self._pool.connect()
        try:
            await connection.set_autocommit(True)
            yield Session(connection)
        finally:
            await connection.close()

    async def close(self) -> None:
        """Gives all connections back to the server."""
        await self._pool.close()


def wake_relay_after_commit(tx: Transaction) -> None:
    """Has the relay look at the outbox as soon as `tx` has committed."""
    tx.has_messages = True
