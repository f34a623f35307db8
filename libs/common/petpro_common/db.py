"""The database of a service: transactions, and nothing else.

The edges (servicer, consumer, background task) open a transaction and it commits once, when their block ends. Use
cases and stores take the transaction as their first argument and never commit. No network call is made inside one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from petpro_common import kill_points
from petpro_common.kill_points import Moment

Transaction: TypeAlias = AsyncConnection

_OPTIONS = "-c timezone=UTC -c statement_timeout=8000 -c idle_in_transaction_session_timeout=15000 -c lock_timeout=5000"
_CHECKOUT_SECONDS = 5
_WAKE = "petpro_wake_after_commit"


def sqlalchemy_url(database_url: str, password: str) -> URL:
    """A plain postgresql:// URL as SQLAlchemy wants it, for psycopg, with the password put in."""
    return make_url(database_url).set(drivername="postgresql+psycopg", password=password)


class Database:
    """A pool of connections.

    Around each commit that wrote to the outbox all of `before_messages` are called, whose errors roll it back, and then
    all of `on_messages`.
    """

    def __init__(self, database_url: str, password: str, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(database_url, password),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_CHECKOUT_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,  # a failed statement is logged, and its values may be personal
            connect_args={"options": _OPTIONS, "connect_timeout": 5},
        )
        self.before_messages: list[Callable[[], None]] = []
        self.on_messages: list[Callable[[], None]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction at READ COMMITTED: committed when the block ends, rolled back when it raises."""
        async with self.engine.connect() as connection:
            connection.info.pop(_WAKE, None)  # what a rolled back transaction left behind
            async with connection.begin():
                yield connection
                if _WAKE in connection.info:
                    for asked in self.before_messages:
                        asked()
                kill_points.reach(Moment.BEFORE_COMMIT)
            kill_points.reach(Moment.AFTER_COMMIT)
            wake = connection.info.pop(_WAKE, False)
        if wake:
            for woken in self.on_messages:
                woken()

    async def close(self) -> None:
        """Gives all connections back to the server."""
        await self.engine.dispose()


def wake_relay_after_commit(tx: Transaction) -> None:
    """Has the relay look at the outbox as soon as `tx` has committed."""
    tx.info[_WAKE] = True
