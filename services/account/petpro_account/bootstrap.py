"""The first administrator, made from the settings at start.

Done again at every start without effect: whoever has the address keeps role and password. Nobody is promoted by it,
since the address may have been registered by a stranger.
"""

import asyncio

import structlog
from psycopg import Error as DatabaseError

from petpro_account import users
from petpro_account.passwords import Passwords
from petpro_account.settings import Settings
from petpro_common import tasks
from petpro_common.context import Role
from petpro_common.db import Database
from petpro_common.service import Service

_PATIENCE_SECONDS = 5.0
_AGAIN_SECONDS = 1.0

_log = structlog.get_logger()


async def begin(service: Service, settings: Settings, passwords: Passwords) -> None:
    """Makes the administrator, if one is set, before the service answers; in the background when the database is away,
    or not migrated, for long."""
    if not settings.bootstrap_admin_email:
        return
    done = asyncio.Event()
    service.background(_make(service.database, settings, passwords, done))
    await tasks.woken(done, _PATIENCE_SECONDS)


async def _make(database: Database, settings: Settings, passwords: Passwords, done: asyncio.Event) -> None:
    email, password = settings.bootstrap_admin_email, settings.bootstrap_admin_password.get_secret_value()
    while not await attempt(database, email, password, passwords):
        await asyncio.sleep(_AGAIN_SECONDS)
    done.set()


async def attempt(database: Database, email: str, password: str, passwords: Passwords) -> bool:
    """Makes the administrator once; False when the database was not ready. Raises ValueError for a bad address."""
    password_hash = await passwords.hash(password)
    try:
        async with database.transaction() as tx:
            role = await users.make_administrator(tx, email, password_hash)
    except DatabaseError as fault:
        _log.warning("the administrator is made later", cause=type(fault).__name__)
        return False
    if role is not Role.ADMIN:
        _log.error("the administrator's address belongs to somebody else", role=role)
    return True
