"""One connection to PostgreSQL: statements go out together and come back together, in one round trip.

psycopg makes the connection and converts values; what goes over it is told to its libpq directly, in pipeline mode, and
the event loop watches the socket for as long as the connection lives (docs/adr/0010-straight-to-the-driver.md).
"""

import asyncio
import contextlib
import select
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import FeatureNotSupported, ReadOnlySqlTransaction, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from sqlalchemy import ClauseElement

from petpro_common import arrays
from petpro_common.rows import Row, Rows
from petpro_common.statements import compiled

BoundStatement: TypeAlias = tuple[ClauseElement, Mapping[str, Any]]
"""A statement and the values of its parameters."""

COMMIT = "COMMIT"
_MOST_PREPARED = 1000  # statements whose text depends on a value add up
_ANSWER_SECONDS = 30.0
"""Longer than a statement may run, or a machine be silent (`db`). Of a server that is stopped neither is noticed: its
kernel answers."""
_GIVE_UP_SECONDS = 2.0
_QUIET_SECONDS = 30.0  # without a notification, before the server is asked whether it is there
_IS_ANYBODY_THERE = "SELECT 1"
_ROW: Any = namedtuple
_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class NoAnswer(OperationalError):
    """The server has not answered for so long that it counts as gone. What it was to commit, it may have committed."""


@dataclass
class _Prepared:
    """A statement that the server keeps for this connection."""

    name: bytes
    make_row: Callable[[Sequence[Any]], Row] | None = None


class Call(NamedTuple):
    """A statement with its values as they go over the wire."""

    name: tuple[str, tuple[int, ...]]
    """Its text, and the types of its parameters: what it is prepared for."""
    values: Sequence[Any] = ()
    formats: Sequence[Any] = ()


class Wire:
    """One connection; it runs one exchange at a time."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._server: Any = connection.pgconn
        self._server.enter_pipeline_mode()
        self._transformer = Transformer(connection)
        self._prepared: dict[tuple[str, tuple[int, ...]], _Prepared] = {}
        self._names = 0
        self._is_in_exchange = self._is_lost = self._is_late = False
        self.is_committing = False
        """Whether its caller has gone while the server commits, which has not said yet what became of it."""
        self._waiting: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._socket: int = self._server.socket
        self._hang_up = select.poll()
        self._hang_up.register(self._socket, 0)
        self._loop.add_reader(self._socket, self._on_readable)

    @property
    def is_in_transaction(self) -> bool:
        return bool(self._server.transaction_status != TransactionStatus.IDLE)

    @property
    def has_failed(self) -> bool:
        """Whether the transaction can only be rolled back."""
        return bool(self._server.transaction_status == TransactionStatus.INERROR)

    @property
    def is_sound(self) -> bool:
        """Whether it can be used again: it is open, and all that was asked has been answered."""
        return not self._is_lost and not self._is_in_exchange and len(self._prepared) < _MOST_PREPARED

    def calls(self, statements: Sequence[BoundStatement]) -> list[Call]:
        """Statements made ready to be run. Raises psycopg.DataError for a value that PostgreSQL cannot hold."""
        return [self._call(*statement) for statement in statements]

    async def run(self, calls: Sequence[Call], may_take: float = 0.0) -> list[Rows]:
        """Runs statements in one round trip, `may_take` seconds where they need long: what each gave, in order.

        Raises psycopg.Error, of the first that failed; those after it have not run. When the caller goes away, or there
        is no answer in time, the server is asked to stop, unless it is to commit: a commit that waits for a standby
        would then be seen without.
        """
        fresh: dict[tuple[str, tuple[int, ...]], _Prepared] = {}
        self._is_in_exchange = True
        try:
            for call in calls:
                self._send(call, fresh)
            self._server.pipeline_sync()
            results = await self._answer(max(may_take, _ANSWER_SECONDS))
        except (asyncio.CancelledError, NoAnswer):
            await self._give_up(is_committing=any(call.name[0] == COMMIT for call in calls))
            raise
        self._is_in_exchange = False
        return self._rows_of(calls, fresh, iter(results))

    async def notifications(self) -> AsyncIterator[str]:
        """What each notification says, when it comes; nothing else runs on the connection meanwhile.

        Raises psycopg.OperationalError when the connection is lost, and NoAnswer of a server that is stopped.
        """
        while self.is_sound:
            if notification := self._server.notifies():
                yield notification.extra.decode()
            else:
                await self._hear()
        self._check_open()

    async def answered(self) -> None:
        """Waits until the server has answered all that it was asked. Raises psycopg.Error when it cannot any more."""
        await self._flush()
        await self._results()
        self._is_in_exchange = self.is_committing = False

    async def close(self) -> None:
        self._stop_watching()
        await self._connection.close()

    def _call(self, statement: ClauseElement, values: Mapping[str, Any]) -> Call:
        ready = compiled(statement, values)
        wired = ready.wired
        if not wired.names:
            return Call((wired.sql, ()))
        arguments = ready.arguments(values)
        written = {place: array for place in wired.lists if (array := arrays.written(arguments[place]))}
        if len(written) == len(arguments):
            oids, lists = zip(*written.values(), strict=True)
            return Call((wired.sql, oids), lists, (Format.BINARY,) * len(lists))
        for place in written:
            arguments[place] = None
        dumped = list(self._transformer.dump_sequence(arguments, wired.formats))
        types, formats = list(self._transformer.types or ()), list(self._transformer.formats or ())
        for place, (oid, data) in written.items():
            dumped[place], types[place], formats[place] = data, oid, Format.BINARY
        return Call((wired.sql, tuple(types)), dumped, formats)

    def _send(self, call: Call, fresh: dict[tuple[str, tuple[int, ...]], _Prepared]) -> None:
        prepared = self._prepared.get(call.name) or fresh.get(call.name)
        if prepared is None:
            self._names += 1
            prepared = fresh[call.name] = _Prepared(b"s%d" % self._names)
            sql, types = call.name
            self._server.send_prepare(prepared.name, sql.encode(), types)
        self._server.send_query_prepared(prepared.name, call.values, call.formats)

    async def _answer(self, seconds: float) -> list[Any]:
        late = self._loop.call_later(seconds, self._on_late)
        try:
            await self._flush()
            return await self._results()
        finally:
            late.cancel()
            self._is_late = False

    async def _flush(self) -> None:
        while self._server.flush():
            self._check_open()
            self._waiting = self._loop.create_future()
            self._loop.add_writer(self._socket, self._wake)
            try:
                await self._waiting
            finally:
                self._waiting = None
                if not self._is_lost:  # the socket's number may be another's by now
                    self._loop.remove_writer(self._socket)

    async def _results(self) -> list[Any]:
        """All results up to the end of the exchange."""
        results: list[Any] = []
        while True:
            while self._server.is_busy():
                await self._readable()
            result = self._server.get_result()
            if result is None:
                self._check_open()
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    async def _hear(self) -> None:
        """Waits until something comes. When nothing does for long the server is asked whether it is there."""
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                await self._readable()
        except TimeoutError:
            await self.run([Call((_IS_ANYBODY_THERE, ()))])

    async def _readable(self) -> None:
        self._check_open()
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _on_readable(self) -> None:
        """Reads what is there. Of a connection that was reset uvloop tells once, and what could be read then need not
        be the end."""
        try:
            self._server.consume_input()
        except Error:
            self._stop_watching()
        else:
            if self._hang_up.poll(0):
                self._stop_watching()
        self._wake()

    def _on_late(self) -> None:
        self._is_late = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def _check_open(self) -> None:
        if self._is_late:
            raise NoAnswer("the server does not answer")
        if self._is_lost or self._server.status != ConnStatus.OK:
            raise OperationalError("the connection is lost")

    def _stop_watching(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            for stop in (self._loop.remove_writer, self._loop.remove_reader):
                with contextlib.suppress(OSError):  # libpq may have closed it already
                    stop(self._socket)

    def _rows_of(
        self, calls: Sequence[Call], fresh: dict[tuple[str, tuple[int, ...]], _Prepared], results: Iterator[Any]
    ) -> list[Rows]:
        found = []
        for call in calls:
            if call.name not in self._prepared:
                self._check(next(results))
                self._prepared[call.name] = fresh[call.name]
            result = next(results)
            self._check(result)
            found.append(self._rows(self._prepared[call.name], result))
        return found

    def _check(self, result: Any) -> None:
        if result.status not in _DONE:
            fault = error_from_result(result)
            if isinstance(fault, FeatureNotSupported):  # a migration has changed what a statement gives
                self._prepared.clear()
            if isinstance(fault, ReadOnlySqlTransaction):  # it was the primary, or takes no writes for now
                self._stop_watching()
                raise OperationalError("the server takes no writes") from fault
            raise fault

    def _rows(self, prepared: _Prepared, result: Any) -> Rows:
        if result.status != ExecStatus.TUPLES_OK:
            return Rows([], result.command_tuples or 0)
        if prepared.make_row is None:
            names = [result.fname(number).decode() for number in range(result.nfields)]
            prepared.make_row = _ROW("Row", names, rename=True)._make
        self._transformer.set_pgresult(result)
        return Rows(self._transformer.load_rows(0, result.ntuples, prepared.make_row), result.ntuples)

    async def _give_up(self, *, is_committing: bool) -> None:
        """Has the server stop, and reads what it still says. If that takes too long the connection is of no use."""
        self.is_committing = is_committing
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                if not is_committing:
                    await self._connection.cancel_safe(timeout=_GIVE_UP_SECONDS)
                await self.answered()
