"""What services say they hold of people, against their databases: no table with a `user_id` can be forgotten, and no
column of a table that they name. One that knows people by another column, such as an owner, they name unasked.
"""

from collections.abc import Mapping, Sequence

import psycopg
import pytest

from devstack.testing import MakeDatabase
from petpro_account import store_personal as account
from petpro_booking import store_personal as booking
from petpro_catalog import store_personal as catalog
from petpro_common.personal.held import Held
from petpro_notification import store_personal as notification
from petpro_payment import store_personal as payment

HELD: Mapping[str, Sequence[Held]] = {
    "account": account.HELD,
    "booking": booking.HELD,
    "catalog": catalog.HELD,
    "notification": notification.HELD,
    "payment": payment.HELD,
}
COLUMNS = """
    SELECT relname, array_agg(CAST(attname AS text)) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
      AND attnum > 0 AND NOT attisdropped
    GROUP BY relname
"""
WHAT_CLINICS_PAY = {"commission_rate", "platform_fee", "clinic_amount"}


def test_what_clinics_pay_is_told_to_their_owners_alone() -> None:
    tables = [held for each in HELD.values() for held in each if WHAT_CLINICS_PAY & set(held.columns.split(", "))]
    assert {held.table for held in tables} == {"clinics", "catalog_clinics"}
    assert {held.theirs for held in tables} == {"owner_id = :user_id"}


@pytest.mark.parametrize("service", HELD)
async def test_every_column_of_a_table_about_people_is_told_or_a_secret(service: str, database: MakeDatabase) -> None:
    made = await database(service)
    async with await psycopg.AsyncConnection.connect(made.dsn) as connection:
        columns: dict[str, list[str]] = dict(await (await connection.execute(COLUMNS)).fetchall())
    held = {each.table: f"{each.columns}, {each.secrets}".replace(" ", "").strip(",") for each in HELD[service]}
    assert {table for table, names in columns.items() if "user_id" in names} <= held.keys()
    for table, told in held.items():
        assert sorted(told.split(",")) == sorted(columns[table]), table
