"""Plans are kept: what was planned while a table was small must not read the whole of it once it is large."""

import pytest
from sqlalchemy import text

from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import inbox, outbox
from petpro_common.testing.running import MakeDatabase

_ANALYSE = text("ANALYZE outbox, inbox")
_GROW = (
    text("""
        INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
        SELECT 'old-' || n, 'petpro.events.x', 'old-' || n, '{}', '', now() FROM generate_series(1, 5000) AS n
    """),
    text("INSERT INTO inbox (message_id) SELECT 'old-' || n FROM generate_series(1, 5000) AS n"),
)
_READ = text("SELECT CAST(COALESCE(sum(seq_tup_read), 0) AS bigint) FROM pg_stat_xact_user_tables")


async def use(tx: Transaction) -> None:
    await inbox.claim(tx, [str(new_id())])
    await inbox.unknown(tx, [str(new_id())])
    await outbox.add_event(tx, "booking", "clinic.changed", new_id(), {})
    await tx.flush()


@pytest.mark.parametrize("plans_by_key", [True, False])
async def test_a_plan_made_while_a_table_was_empty_reads_it_by_its_index(
    database_of: MakeDatabase, plans_by_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not plans_by_key:
        monkeypatch.setattr("petpro_common.db._BY_KEY", "")
    database = await database_of("booking")
    async with database.transaction() as tx:
        await tx.execute(_ANALYSE)
    for _ in range(6):  # PostgreSQL keeps a plan after five at most
        async with database.transaction() as tx:
            await use(tx)
    async with database.transaction() as tx:
        for statement in _GROW:
            await tx.execute(statement)
    async with database.transaction() as tx:
        await use(tx)
        assert (await tx.execute(_READ)).scalar_one() == 0
