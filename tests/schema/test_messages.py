"""What may become of a parked message is the same in each service's database."""

import psycopg
import pytest

from devstack.layout import SERVICES
from devstack.testing import MakeDatabase
from petpro_common.messaging.servicer import _OUTCOMES

KEEP = """
    INSERT INTO message_redrives (message_id, subject, error_before, operator, reason, outcome)
    VALUES ('clinic 1', 'petpro.events.clinic.changed', 'KennelFull', 'sari', 'nobody can read it', %s)
"""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_outcome_that_is_told_can_be_kept(service: str, database: MakeDatabase) -> None:
    made = await database(service)
    async with await psycopg.AsyncConnection.connect(made.dsn) as connection:
        for outcome in _OUTCOMES:
            await connection.execute(KEEP, (outcome,))
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(KEEP, ("lost",))
