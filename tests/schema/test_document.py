"""The migrated databases against the domain document: each difference is known, and has its reason, or is a fault."""

from collections.abc import Sequence

import psycopg
import pytest

from devstack.testing import MakeDatabase
from tests.schema.differences import OWNED, found_in, kept, owner
from tests.schema.inventory import of_the_document
from tests.schema.reasons import has_reason

STRAYING = {
    "account": [
        "ALTER TABLE pets DROP CONSTRAINT fk_user",
        "ALTER TABLE users ALTER password_hash DROP NOT NULL",
        "ALTER TABLE users ALTER notification_prefs SET DEFAULT '{}'",
        "ALTER TABLE users ADD COLUMN nickname text",
        "CREATE TABLE kennels (id uuid)",
    ],
    "catalog": [
        "ALTER TABLE reviews DROP CONSTRAINT reviews_booking_id_key",
        "ALTER TABLE reviews DROP CONSTRAINT reviews_rating_check",
        "ALTER TABLE clinics ALTER commission_rate SET DEFAULT 99",
        "ALTER TABLE clinics ALTER name DROP NOT NULL",
        "ALTER TABLE services DROP CONSTRAINT fk_clinic",
        "DROP INDEX idx_reviews_rating",
        "DROP INDEX idx_reviews_rating; CREATE INDEX idx_reviews_rating ON reviews (comment)",
        "DROP TRIGGER count_reviews ON reviews",
    ],
    "booking": [
        "DROP MATERIALIZED VIEW clinic_booking_summary",
        "DROP FUNCTION refresh_materialized_views()",
        "CREATE OR REPLACE FUNCTION refresh_materialized_views() RETURNS void LANGUAGE sql AS ''",
        "ALTER TABLE bookings DROP CONSTRAINT fk_slot",
        "ALTER TABLE bookings DROP CONSTRAINT bookings_reference_code_fkey",
        "ALTER TABLE slots ALTER capacity TYPE bigint",
    ],
    "payment": [
        "ALTER TABLE financial_entries DROP CONSTRAINT amount_validation",
        "ALTER TABLE financial_entries DROP CONSTRAINT amount_validation;"
        "ALTER TABLE financial_entries ADD CONSTRAINT amount_validation CHECK (true)",
        "DROP INDEX idx_payments_due",
    ],
    "notification": ["CREATE INDEX idx_notifications_title ON notifications (title)"],
}
"""What a careless migration could do: some of it to what the document has, some to what is listed already."""


@pytest.mark.parametrize("service", OWNED)
async def test_the_database_differs_from_the_document_in_what_is_known(service: str, database: MakeDatabase) -> None:
    made = await database(service)
    async with await psycopg.AsyncConnection.connect(made.superuser_dsn) as connection:
        assert await found_in(connection, service) == kept(service)


@pytest.mark.unit
@pytest.mark.parametrize("service", OWNED)
def test_every_difference_has_its_reason(service: str) -> None:
    unlisted = [
        name for name, sides in kept(service).items() if not has_reason(service, name, added="document" not in sides)
    ]
    assert unlisted == []


@pytest.mark.parametrize(("service", "statements"), STRAYING.items(), ids=STRAYING)
async def test_a_database_that_strays_is_seen(service: str, statements: Sequence[str], database: MakeDatabase) -> None:
    made = await database(service)
    unseen = []
    async with await psycopg.AsyncConnection.connect(made.superuser_dsn) as connection:
        for statement in statements:
            async with connection.transaction(force_rollback=True):
                await connection.execute(statement.encode())
                if await found_in(connection, service) == kept(service):
                    unseen.append(statement)
    assert unseen == []


async def test_all_of_the_document_is_somebodys(database: MakeDatabase) -> None:
    made = await database("account")
    async with await psycopg.AsyncConnection.connect(made.superuser_dsn) as connection:
        asked = {owner(name) for name in await of_the_document(connection)}
    assert asked == set().union(*OWNED.values())
    assert len(asked) == 12 + 2  # the tables, and the summary with what refreshes it


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "added"),
    [("clinics.name", False), ("clinics.timezone", False), ("services.name", True), ("clinics.time", True)],
)
def test_a_reason_names_what_it_is_for(name: str, added: bool) -> None:
    """A column in the list of an index, the other side, and the beginning of a name are not reasons."""
    assert not has_reason("catalog", name, added=added)
