"""The database of a service: transactions, and nothing else.

The edges (servicer, consumer, background task) open a transaction and it commits once, when their block ends. Use
cases and stores take the transaction as their first argument and never commit. No network call is made inside one.

Statements are SQLAlchemy's and run on psycopg without SQLAlchemy between (docs/adr/0010-straight-to-the-driver.md).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from psycopg import InterfaceError, OperationalError
from psycopg.errors import InFailedSqlTransaction
from sqlalchemy import ClauseElement, text

from petpro_common import kill_points
from petpro_common.kill_points import Moment
from petpro_common.pool import Pool
from petpro_common.rows import Row, Rows
from petpro_common.wire import COMMIT, BoundStatement, Wire

__all__ = ["Database", "LateWrite", "Row", "Rows", "Session", "Transaction", "is_away"]

_OPTIONS = "-c timezone=UTC -c statement_timeout=8000 -c idle_in_transaction_session_timeout=15000 -c lock_timeout=5000"
# Where the other side's machine has gone nobody hangs up. The server would keep the relay's lock for two hours, and a
# batch would wait a quarter of an hour for its answer: after 25 s each takes a silent machine for gone.
PEER_MAY_VANISH = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000"
)
SERVER_MAY_VANISH = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_INDEXES_ONLY = "-c enable_seqscan=off"
_BY_KEY = "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off"
_CHECKOUT_SECONDS = 5
# PostgreSQL's classes of errors: connection, authorization, resources, shutdown and start, system. Not those of one
# statement, which psycopg calls operational too: a time-out, a lock that was not to be had, a deadlock.
_AWAY = ("08", "28", "53", "57P", "58")
_BEGIN, _COMMIT, _SAVEPOINT, _ROLL_BACK_TO_SAVEPOINT, _RELEASE = (
    (text(command), dict[str, Any]()) for command in ("BEGIN", COMMIT, "SAVEPOINT p", "ROLLBACK TO p", "RELEASE p")
)
_WAIT_BRIEFLY = text("SET LOCAL lock_timeout = 1000")


class Session:
    """A connection in somebody's hands, on which statements run, each by itself.

    `may_take`: seconds that one may need, where the usual half a minute is not enough.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.may_take = 0.0

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None) -> Rows:
        """Runs a statement and fetches its rows. Raises psycopg.Error."""
        [rows] = await self._wire.run(self._wire.calls([(statement, values or {})]), self.may_take)
        return rows

    async def notifications(self) -> AsyncIterator[str]:
        """What each notification says, once there was a LISTEN; nothing else runs on the session meanwhile."""
        async for said in self._wire.notifications():
            yield said


class Transaction(Session):
    """A session whose statements commit together."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.has_messages = False
        """Whether it writes to the outbox, of which the relay is then told after the commit."""
        self.messages: list[Any] = []
        self.told: dict[str, set[str]] = {}
        self.to_do: list[Callable[[], None]] = []
        self._ahead: list[BoundStatement] = [_BEGIN]  # goes out with the next statement
        self._late: dict[LateWrite, list[Any]] = {}
        self._at_end: dict[AtEnd, list[Any]] = {}

    async def execute(self, statement: ClauseElement, values: Mapping[str, Any] | None = None) -> Rows:
        [rows] = await self.execute_all([(statement, values or {})])
        return rows

    async def execute_all(self, statements: Sequence[BoundStatement]) -> list[Rows]:
        """Runs statements in one round trip: what each gave, in order. Raises psycopg.Error."""
        calls = self._wire.calls([*self._ahead, *statements])
        count, self._ahead = len(self._ahead), []
        return (await self._wire.run(calls, self.may_take))[count:]

    def write(self, statement: ClauseElement, values: Mapping[str, Any] | None = None) -> None:
        """Has a statement run of which nothing has to be known: in its place, with the next one or the commit.

        It costs no round trip. What it raises, these raise.
        """
        self._ahead.append((statement, values or {}))

    def wait_briefly(self) -> None:
        """From here on no lock is waited for longer than a second, in place of five: for work that others wait for."""
        self.write(_WAIT_BRIEFLY)

    def tell(self, topic: str, about: Iterable[str] = ()) -> None:
        """Has those who listen to `topic` (`Database.listen`) called after the commit, with what it is about."""
        self.told.setdefault(topic, set()).update(about)

    def after_commit(self, work: Callable[[], None]) -> None:
        """Has `work` done right after the commit; never when this is rolled back, or may have been."""
        self.to_do.append(work)

    def write_late(self, write: "LateWrite", row: Any) -> None:
        """Has the row written right before the commit, by one statement with all others that `write` is given.

        Until then no statement of this transaction sees it; `flush` writes it earlier.
        """
        self._late.setdefault(write, []).append(row)

    def at_end(self, work: "AtEnd", item: Any) -> None:
        """Has `work` done right before the commit, once for all items that it is given."""
        self._at_end.setdefault(work, []).append(item)

    async def flush(self) -> None:
        """Writes now what was to be written late, so that what follows sees it."""
        await self._end()
        if self._late:
            await self._write()

    async def commit(self) -> None:
        """Writes what was to be written late, and commits. Raises psycopg.Error."""
        if self._wire.has_failed and not self._ahead:
            raise InFailedSqlTransaction("a statement of the transaction has failed")
        await self._end()
        if self._late or self._ahead != [_BEGIN]:
            await self._write(_COMMIT)

    async def _end(self) -> None:
        at_end, self._at_end = self._at_end, {}
        for work, items in at_end.items():
            await work(self, items)

    async def _write(self, *then: BoundStatement) -> None:
        late, self._late = self._late, {}
        statements = [(write.statement, write.columns(rows)) for write, rows in late.items()]
        written = await self.execute_all([*statements, *then])
        for (write, rows), found in zip(late.items(), written, strict=False):
            write.done(self, rows, found)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that is rolled back by itself when its block raises."""
        late = {write: list(rows) for write, rows in self._late.items()}
        at_end = {work: list(items) for work, items in self._at_end.items()}
        ahead, count, written, to_do = self._ahead, len(self._ahead), len(self.messages), len(self.to_do)
        self._ahead.append(_SAVEPOINT)
        try:
            yield
            await self._release()
        except BaseException:
            self._late, self._at_end = late, at_end
            del self.messages[written:], self.to_do[to_do:]  # they are gone with their rows
            if self._ahead is ahead:  # nothing has been sent since
                del ahead[count:]
            else:
                self._ahead = [_ROLL_BACK_TO_SAVEPOINT, _RELEASE]
            raise

    async def _release(self) -> None:
        """Ends a savepoint: what was written within and waits still runs now, so that it raises within."""
        if self._ahead and self._ahead[-1] is not _SAVEPOINT:
            await self.execute_all([_RELEASE])
        else:
            self._ahead.append(_RELEASE)


Listener: TypeAlias = Callable[[Collection[str]], None]
"""Is called with what it is told about; with nothing, where a topic says all."""

AtEnd: TypeAlias = Callable[[Transaction, list[Any]], Awaitable[None]]
"""Work on all items of one kind that a transaction has gathered."""


class Reading(Transaction):
    """A transaction that nobody began, for statements that only read."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._ahead = []


def _nothing_more(tx: Transaction, rows: list[Any], found: Rows) -> None:
    """What most late writes do with what their statement gave."""


@dataclass(frozen=True)
class LateWrite:
    """How rows are written right before the commit: one statement, its values made of all rows, and what it gave."""

    statement: ClauseElement
    columns: Callable[[list[Any]], Mapping[str, Any]]
    done: Callable[[Transaction, list[Any], Rows], None] = _nothing_more


class Database:
    """A pool of connections.

    Around each commit that wrote to the outbox all of `before_messages` are called, whose errors roll it back, and then
    all of `on_messages`, with the messages that it wrote.

    Tables are read by their indexes: a plan is kept, and one made while a table was small would go on reading the whole
    of it. With `plans_by_key` statements are moreover planned once for all values, to find few rows by their keys:
    planning costs several times what most of them take.

    `password`: itself, or what tells the one that is good now.
    """

    def __init__(
        self, database_url: str, password: str | Callable[[], str], pool_size: int = 10, plans_by_key: bool = True
    ) -> None:
        settings = {
            "options": f"{_OPTIONS} {PEER_MAY_VANISH} {_INDEXES_ONLY} {_BY_KEY if plans_by_key else ''}".strip(),
            "connect_timeout": 5,
            **SERVER_MAY_VANISH,
        }
        ask = password if callable(password) else lambda: password
        self.pool = Pool(database_url, ask, pool_size, _CHECKOUT_SECONDS, settings)
        self.before_messages: list[Callable[[], None]] = []
        self.on_messages: list[Callable[[list[Any]], None]] = []
        self._listeners: dict[str, list[Listener]] = {}

    def listen(self, topic: str, listener: Listener) -> None:
        """Calls `listener` after each commit here that told of `topic`; `notices` brings it to all processes."""
        self._listeners.setdefault(topic, []).append(listener)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction at READ COMMITTED: committed when the block ends, rolled back when it raises.

        Raises psycopg.OperationalError when the server is away, PoolExhausted, and CommitsWait.
        """
        async with self.pool.wire(may_commit=True) as wire:
            tx = Transaction(wire)
            yield tx
            if tx.has_messages:
                for asked in self.before_messages:
                    asked()
            kill_points.reach(Moment.BEFORE_COMMIT)
            await tx.commit()
            kill_points.reach(Moment.AFTER_COMMIT)
        if tx.has_messages:
            for woken in self.on_messages:
                woken(tx.messages)
        for topic, about in tx.told.items():
            for listener in self._listeners.get(topic, ()):
                listener(about)
        for work in tx.to_do:
            work()

    async def at_once(self, statements: Sequence[BoundStatement]) -> list[Rows]:
        """A transaction of statements between which nothing has to be decided, in one round trip: what each gave.

        Raises as `transaction`.
        """
        async with self.pool.wire(may_commit=True) as wire:
            kill_points.reach(Moment.BEFORE_COMMIT)
            rows = await wire.run(wire.calls([_BEGIN, *statements, _COMMIT]))
            kill_points.reach(Moment.AFTER_COMMIT)
        return rows[1:-1]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """For statements that only read, and lock nothing: each stands by itself, as it does at READ COMMITTED.

        Nothing is begun or committed, so one statement is one round trip, and commits that wait are not in the way.
        Raises psycopg.OperationalError when the server is away, and PoolExhausted.
        """
        async with self.pool.wire(may_commit=False) as wire:
            yield Reading(wire)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection beside the pool on which each statement commits by itself; it is closed afterwards."""
        wire = await self.pool.connect()
        try:
            yield Session(wire)
        finally:
            await wire.close()

    async def close(self) -> None:
        """Gives all connections back to the server."""
        await self.pool.close()


def is_away(fault: BaseException) -> bool:
    """Whether the fault is of the database or of the way to it, and would meet any statement."""
    if isinstance(fault, OperationalError):
        return fault.sqlstate is None or fault.sqlstate.startswith(_AWAY)
    return isinstance(fault, InterfaceError | OSError) and not isinstance(fault, TimeoutError)
