"""Which of several processes does what one does for all: the first that asks, until it is gone.

To lead is to have a lock of a connection beside the pool, and goes with it: whoever ends, dies or loses that connection
has given it up, and the next who asks has it. So whoever led may still be at work for a moment: what is done must bear
that.
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sqlalchemy import text

from petpro_common.db import Database, Session

# Who has it may take it again, as often as they like.
_TAKE = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 3))")


class Leadership:
    """Asks to lead in what has a name, among all processes of a service; given up when its block ends.

    `sessions` leads to the database without a pooler between: locks of sessions need it.
    """

    def __init__(self, sessions: Database) -> None:
        self._sessions = sessions
        self._kept = AsyncExitStack()
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.give_up()

    async def is_ours(self, name: str) -> bool:
        """Takes the lead, or finds that it still has it. Raises psycopg.Error, and it is given up."""
        is_ours = False
        try:
            if self._session is None:
                self._session = await self._kept.enter_async_context(self._sessions.session())
            is_ours = bool((await self._session.execute(_TAKE, {"name": name})).scalar_one())
        finally:
            if not is_ours:
                await self.give_up()
        return is_ours

    async def give_up(self) -> None:
        """Lets the next lead."""
        self._session = None
        await self._kept.aclose()
