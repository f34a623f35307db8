"""Erasing people in the services that hear of it.

    user.erased ──> id kept in `erased_users`, what is held of them anonymised: one transaction
                       ╰── again every minute, for sixty days: what was on its way then has written nothing that stays

Sixty days is for how long inboxes know messages, and longer than any saga goes on. `forget` changes nothing where there
is nothing left to forget. Ids stay in `erased_users` for ever: by them who was erased is found again after a restore.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias
from uuid import UUID

import structlog
from sqlalchemy import text

from petpro_common import idempotency, tasks
from petpro_common.db import Database, Transaction
from petpro_common.messaging.consumer import Unprocessable
from petpro_common.messaging.events import Event, EventHandler
from petpro_common.personal.held import Held
from petpro_common.rounds import in_rounds

ERASURE_V1 = """
CREATE TABLE erased_users (
    user_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_erased_users_at ON erased_users (erased_at);
"""

HELD = Held("erased_users", "user_id, erased_at", key="user_id")

Forget: TypeAlias = Callable[[Transaction, Sequence[UUID]], Awaitable[None]]
"""Anonymises what a service holds of people, by their ids."""

_EVERY_SECONDS = 60.0
_BATCH = 500
_ERASED = "erasures"

# One that is told of again, after a restore, is looked at for as long as the first time.
_KEEP = text("""
    INSERT INTO erased_users (user_id) VALUES (:user_id)
    ON CONFLICT (user_id) DO UPDATE SET erased_at = CURRENT_TIMESTAMP
""")
_OF_LATE = text("SELECT user_id FROM erased_users WHERE erased_at > CURRENT_TIMESTAMP - interval '60 days'")

_log = structlog.get_logger()


def erased(forget: Forget) -> EventHandler:
    """The handler of `user.erased`."""

    async def handle(tx: Transaction, event: Event) -> None:
        try:
            user_id = UUID(event["user_id"])
        except (KeyError, TypeError, ValueError) as fault:
            raise Unprocessable("user.erased does not say who was erased") from fault
        tx.write(_KEEP, {"user_id": user_id})
        await _forget(tx, forget, [user_id])
        tx.tell(_ERASED)
        tx.after_commit(partial(_log.info, "erased", user_id=str(user_id)))

    return handle


async def keep_forgetting(
    database: Database, forget: Forget, then: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Anonymises again what is held of those who were erased of late, until cancelled: each minute, and at once after
    an erasure that this process has heard of. `then` is done after each look, by services that do more."""
    woken = asyncio.Event()
    database.listen(_ERASED, lambda _: woken.set())

    async def one_round() -> float:
        await forget_again(database, forget)
        if then:
            await then()
        return _EVERY_SECONDS

    async def rest(seconds: float) -> None:
        await tasks.woken(woken, seconds)
        woken.clear()

    await in_rounds("erasures", one_round, after_a_fault_seconds=_EVERY_SECONDS, rest=rest)


async def forget_again(database: Database, forget: Forget) -> None:
    """Anonymises what has been written since of those who were erased of late."""
    user_ids = await erased_of_late(database)
    for start in range(0, len(user_ids), _BATCH):
        async with database.transaction() as tx:
            await _forget(tx, forget, user_ids[start : start + _BATCH])


async def erased_of_late(database: Database) -> list[UUID]:
    """Those of whom something may still be written."""
    async with database.reading() as tx:
        return list((await tx.execute(_OF_LATE)).scalars())


async def _forget(tx: Transaction, forget: Forget, user_ids: Sequence[UUID]) -> None:
    await forget(tx, user_ids)
    idempotency.forget(tx, user_ids)
