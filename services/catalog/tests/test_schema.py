"""The migrated database: made from nothing, as the tables say, and refusing what must not be in it."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import IntegrityError
from sqlalchemy import create_engine, delete, insert, update

from devstack.testing import MakeDatabase
from petpro_catalog import tables
from petpro_common.ids import new_id
from petpro_common.migrate import sqlalchemy_url, upgrade
from services.catalog.tests.people import Catalog


async def test_the_tables_are_what_the_migrations_make_of_an_empty_database(empty_database: MakeDatabase) -> None:
    made = await empty_database("catalog")
    url = sqlalchemy_url(made.url, made.password)
    await asyncio.to_thread(upgrade, "petpro_catalog", url)
    await asyncio.to_thread(upgrade, "petpro_catalog", url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": _own, "include_object": _but_indexes}
        )
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def _own(name: str | None, kind: str, _: Mapping[str, Any]) -> bool:
    return kind != "table" or name in tables.metadata.tables


def _but_indexes(_: object, __: str | None, kind: str, ___: bool, ____: object) -> bool:
    """Indexes are the migrations' own business; `test_search` proves that they are of use."""
    return kind != "index"


async def test_a_clinic_with_half_a_place_or_an_odd_commission_cannot_be_stored(catalog: Catalog) -> None:
    await catalog.applied()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"latitude": 1}, "valid_location"),
        ({"latitude": 91, "longitude": 0}, "valid_location"),
        ({"commission_rate": Decimal("100.01")}, "valid_commission_rate"),
        ({"commission_rate": -1}, "valid_commission_rate"),
        ({"status": "closed"}, "clinics_status_check"),
        ({"name": ""}, "clinics_name_check"),
        ({"policy_version": 2}, "fk_policy"),
    ]
    for values, constraint in wrong:
        with pytest.raises(IntegrityError, match=constraint):
            async with catalog.database.transaction() as tx:
                await tx.execute(update(tables.clinics).values(**values))


async def test_a_service_has_a_price_and_a_length_whatever_the_code_does(catalog: Catalog) -> None:
    await catalog.offered(await catalog.applied())
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"price": Decimal("-0.01")}, "valid_price"),
        ({"duration_minutes": 0}, "valid_duration"),
        ({"duration_minutes": 1441}, "valid_duration"),
        ({"currency": "Rp"}, "services_currency_check"),
        ({"policy_version": 1}, "fk_policy"),
    ]
    for values, constraint in wrong:
        with pytest.raises(IntegrityError, match=constraint):
            async with catalog.database.transaction() as tx:
                await tx.execute(update(tables.services).values(**values))


async def test_a_clinic_that_others_refer_to_cannot_be_deleted(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    await catalog.offered(clinic)
    with pytest.raises(IntegrityError, match="fk_clinic"):
        async with catalog.database.transaction() as tx:
            await tx.execute(delete(tables.clinics))


async def test_a_booking_has_one_review_whatever_the_code_does(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.applied())
    review = {"booking_id": new_id(), "user_id": new_id(), "clinic_id": service.clinic_id, "service_id": service.id}
    async with catalog.database.transaction() as tx:
        await tx.execute(insert(tables.reviews).values(**review, rating=5))
    for again in ({**review, "rating": 4}, {**review, "booking_id": new_id(), "rating": 6}):
        with pytest.raises(IntegrityError):
            async with catalog.database.transaction() as tx:
                await tx.execute(insert(tables.reviews).values(**again))
