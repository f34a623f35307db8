"""Where sagas stand, as the gauges tell."""

from uuid import uuid4

import psycopg
from prometheus_client import REGISTRY

from devstack.testing import MakeDatabase
from petpro_common.db import Database
from petpro_common.saga.census import Census

_PUT = """
    INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
                       version, trace, updated_at)
    VALUES (%s, 'grooming', 1, %s, %s, 'wash', 'forward', 1, '[]', '{}', 1, '{}', now() - interval '1 hour' * %s)
"""


def seen(name: str, status: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"saga_type": "grooming", "status": status, "step": "wash"})


async def test_sagas_are_counted_where_they_stand_with_the_age_of_the_oldest(database: MakeDatabase) -> None:
    made = await database("booking")
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        for status, hours in (("parked", 2), ("parked", 5), ("running", 1), ("completed", 9)):
            connection.execute(_PUT, (uuid4(), uuid4().hex, status, hours))
        booking = Database(made.url, made.password)
        census = Census(booking)
        await census.look()
        assert seen("petpro_sagas", "parked") == 2
        assert seen("petpro_sagas", "running") == 1
        assert seen("petpro_sagas", "completed") is None, "what has ended is not looked at"
        assert 5 * 3600 <= (seen("petpro_sagas_oldest_seconds", "parked") or 0) < 5 * 3600 + 60
        connection.execute("DELETE FROM sagas WHERE status = 'parked'")
        await census.look()
        assert seen("petpro_sagas", "parked") == 0
        assert seen("petpro_sagas_oldest_seconds", "parked") == 0
        await booking.close()


async def test_a_saga_that_asks_again_and_again_has_not_moved(database: MakeDatabase) -> None:
    made = await database("booking")
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        for status in ("compensating", "parked"):
            connection.execute(_PUT, (uuid4(), uuid4().hex, status, 0))
        connection.execute("UPDATE sagas SET step_began_at = now() - interval '2 hours'")
        booking = Database(made.url, made.password)
        await Census(booking).look()
        assert 2 * 3600 <= (seen("petpro_sagas_oldest_seconds", "compensating") or 0) < 2 * 3600 + 60
        assert (seen("petpro_sagas_oldest_seconds", "parked") or 0) < 60, "as long as it waits for a person"
        await booking.close()
