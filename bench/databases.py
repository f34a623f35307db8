"""Booking's database at several sizes on one server, of which booking serves one at a time.

So sizes are measured in turn, and what the machine does meanwhile harms all of them alike.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from bench.stage import Stage

_BOOKING = "petpro_booking"


@dataclass
class DatabasesBySize:
    """The databases, by the sizes that they have."""

    stage: Stage
    served: str
    """The size of the one that booking serves."""

    async def grow(self, size: str) -> None:
        """Leaves the size that is served as it is, and has booking serve a copy, which may grow to `size`."""
        await self.stage.stack.stop_part("booking")
        await self.stage.around.postgres.make_database(_aside(self.served), "booking", template=_BOOKING)
        await self.stage.stack.start_part("booking")
        self.served = size

    async def serve(self, size: str) -> None:
        """Has booking serve the database of that size, once nothing is under way."""
        if size == self.served:
            return
        await self.stage.quiet()
        await self.stage.stack.stop_part("booking")
        await self._rename(_BOOKING, _aside(self.served))
        await self._rename(_aside(size), _BOOKING)
        await self.stage.stack.start_part("booking")
        self.served = size

    async def _rename(self, name: str, to: str) -> None:
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))
        superuser = self.stage.around.postgres.superuser_url()
        async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
            await connection.execute(rename)


def _aside(size: str) -> str:
    return f"{_BOOKING} of {size}"
