"""Behind a pooler that drops what a session asks at its start, sessions are as they are without one."""

from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database
from petpro_common.migrate import keep_for_poolers, sqlalchemy_url, upgrade

ASKED = text("""
    SELECT name, setting FROM pg_settings
    WHERE source IN ('client', 'database user') AND name NOT IN ('application_name', 'client_encoding') ORDER BY name
""")


@pytest.mark.parametrize("plans_by_key", [True, False])
async def test_the_role_keeps_what_its_service_asks_for(database: testing.MakeDatabase, plans_by_key: bool) -> None:
    made = await database("notification")
    service = Database(made.url, made.password, plans_by_key=plans_by_key)
    async with service.transaction() as tx:
        asked = [tuple(row) for row in await tx.execute(ASKED)]
    await service.close()
    assert ("statement_timeout", "8000") in asked

    await keep_for_poolers(made.url, made.password, plans_by_key)

    async with await psycopg.AsyncConnection.connect(made.url, password=made.password) as bare:
        assert await (await bare.execute(ASKED.text)).fetchall() == asked


async def test_migrations_have_all_the_time_they_need(
    database: testing.MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await database("notification")
    await keep_for_poolers(made.url, made.password, plans_by_key=True)
    seen: list[Any] = []

    def look(config: Any, _: str) -> None:
        shown = config.attributes["connection"].execute(text("SELECT name, setting FROM pg_settings"))
        seen.append({row.name: row.setting for row in shown})

    monkeypatch.setattr(command, "upgrade", look)
    upgrade("petpro_notification", sqlalchemy_url(made.url, made.password))

    (settings,) = seen
    assert (settings["statement_timeout"], settings["lock_timeout"], settings["enable_seqscan"]) == ("0", "3000", "on")
    assert settings["TimeZone"] == "UTC"
