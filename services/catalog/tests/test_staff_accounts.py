"""Whose account stood in which staff entry, and when, is kept whoever writes the entry."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from alembic import command
from sqlalchemy import create_engine, delete, insert, select, update
from sqlalchemy.engine import URL

from devstack.testing import MakeDatabase
from petpro_catalog import store_personal, store_staff
from petpro_catalog.tables import staff, staff_accounts
from petpro_common.db import Row
from petpro_common.ids import new_id
from petpro_common.migrate import config_of, sqlalchemy_url, upgrade
from petpro_common.personal import held
from services.catalog.tests.people import Catalog
from services.catalog.tests.test_erasure import erased
from services.catalog.tests.test_reviews import stand

FILL = """
    WITH clinic AS (
        INSERT INTO clinics (owner_id, name, address, city, province, postal_code, phone_number, email, operating_hours)
        VALUES (uuidv7(), 'Klinik', 'Jl. Merdeka 1', 'Jakarta', 'DKI Jakarta', '10110', '+62211', 'a@b.example', '{}')
        RETURNING id
    ), policy AS (
        INSERT INTO cancellation_policies (clinic_id, version, tiers) SELECT id, 1, '[]' FROM clinic
    )
    INSERT INTO staff (clinic_id, name, email, role, user_id, user_since)
    SELECT clinic.id, name, 'a@b.example', 'nurse', user_id, '2026-05-01T02:00:00Z'
    FROM clinic, (VALUES ('Sari', uuidv7()), ('nobody', NULL)) AS entry (name, user_id)
"""


async def stood(catalog: Catalog, staff_id: str) -> Sequence[Row]:
    """Whose account stood in an entry and when, in that order."""
    entry = select(staff_accounts).where(staff_accounts.c.staff_id == UUID(staff_id)).order_by(staff_accounts.c.since)
    async with catalog.database.reading() as tx:
        return (await tx.execute(entry)).all()


async def test_what_is_known_of_accounts_that_stand_is_carried_over(empty_database: MakeDatabase) -> None:
    made = await empty_database("catalog")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(_upgrade_to, url, "0009")
    async with await psycopg.AsyncConnection.connect(made.dsn, autocommit=True) as connection:
        await connection.execute(FILL)
        await asyncio.to_thread(upgrade, "petpro_catalog", url)
        entry = await connection.execute("SELECT id, clinic_id, user_id FROM staff WHERE name = 'Sari'")
        [sari] = await entry.fetchall()
        kept = await connection.execute("SELECT staff_id, clinic_id, user_id, since, until FROM staff_accounts")
        assert await kept.fetchall() == [(*sari, datetime(2026, 5, 1, 2, tzinfo=UTC), None)]


async def test_what_replicas_of_the_release_before_write_is_kept_too(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    sari, made_up = catalog.sari.id, new_id()
    entry = {"id": made_up, "clinic_id": UUID(clinic.id), "name": "Sari", "email": "a@b.example", "role": "nurse"}
    this = staff.c.id == made_up
    for write in (
        insert(staff).values(**entry, user_id=sari),
        update(staff).where(this).values(name="drh. Sari", user_id=sari),
        update(staff).where(this).values(user_id=None),
        update(staff).where(this).values(user_id=sari),
        delete(staff).where(this),
    ):
        async with catalog.database.transaction() as tx:
            await tx.execute(write)

    first, again = await stood(catalog, str(made_up))
    assert first.user_id == again.user_id == sari
    assert first.since < first.until < again.since < again.until


async def test_of_edits_of_one_entry_at_once_each_account_stands_until_the_next(catalog: Catalog) -> None:
    member = await catalog.employed(await catalog.approved())
    people = [new_id() for _ in range(6)]
    await asyncio.gather(*(stand(catalog, member, str(person)) for person in people * 3))

    *ended, last = await stood(catalog, member.id)
    async with catalog.database.reading() as tx:
        now = await store_staff.member(tx, UUID(member.id))
    assert now is not None
    assert (last.user_id, last.until) == (now.details.user_id, None)
    assert {each.user_id for each in [*ended, last]} == set(people)
    assert all(one.until <= other.since for one, other in zip(ended, [*ended[1:], last], strict=True))


async def test_who_was_erased_stood_nowhere(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    sari, budi = str(catalog.sari.id), str(new_id())
    left, stays = [await catalog.employed(clinic, user_id=sari) for _ in range(2)]
    await stand(catalog, left, budi)
    async with catalog.database.reading() as tx:
        told = await held.page(tx, store_personal.HELD, catalog.sari.id, None, 100)
    assert len([row for row in told if row.table == "staff_accounts"]) == 2

    await erased(catalog, catalog.sari)
    assert [str(each.user_id) for each in await stood(catalog, left.id)] == [budi]
    assert not await stood(catalog, stays.id)


def _upgrade_to(url: URL, version: str) -> None:
    engine, config = create_engine(url), config_of("petpro_catalog")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()
