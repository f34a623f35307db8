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
# What has left leaves pages behind in the indexes of what waits, and more in the one with longer keys.
_MUCH_HAS_LEFT = (
    text("""
        INSERT INTO outbox (message_id, subject, aggregate, headers, payload)
        SELECT 'old-' || n, 'petpro.events.x', 'a longer name ' || n, '{}', '' FROM generate_series(1, 5000) AS n
    """),
    text("UPDATE outbox SET published_at = now(), stream = 'PETPRO_EVENTS', stream_seq = id"),
    text("VACUUM ANALYZE outbox"),
)
_ALSO_WAITS = text("""
    INSERT INTO outbox (message_id, subject, aggregate, headers, payload)
    SELECT 'new-' || n, 'petpro.events.x', 'another ' || n, '{}', '' FROM generate_series(1, 500) AS n
""")
_FETCHED = text("SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'outbox'")
_READ = text("SELECT CAST(COALESCE(sum(seq_tup_read), 0) AS bigint) FROM pg_stat_xact_user_tables")


async def use(tx: Transaction) -> None:
    await inbox.claim(tx, [str(new_id())])
    await inbox.unknown(tx, [str(new_id())])
    outbox.add_event(tx, "booking", "clinic.changed", new_id(), {})
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


async def test_a_plan_made_while_nothing_waits_finds_what_waits_of_an_aggregate_by_its_index(
    database_of: MakeDatabase,
) -> None:
    database = await database_of("booking")
    async with database.session() as session:
        for statement in (*_MUCH_HAS_LEFT, _ALSO_WAITS):
            await session.execute(statement)
    async with database.transaction() as tx:
        await use(tx)
        assert (await tx.execute(_FETCHED)).scalar_one() < 10
