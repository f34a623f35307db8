"""The purge: what goes and what stays, by which way it finds it, and that tables do not swell."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database
from petpro_common.housekeeping import PURGES, SAGA_PURGES, Purge, purge_one
from petpro_common.testing import eventually

SAGAS = """
    INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
                       version, trace, created_at, updated_at)
    SELECT uuidv7(), 'checkout', 1, concat(CAST(:status AS text), ' ', CAST(:days AS integer), ' ', n), :status, 'pay',
        'forward', 1, '[]', '{}', 1, '{}', now() - interval '400 days', now() - make_interval(days => :days)
    FROM generate_series(1, :rows) n
"""
LINE = """
    INSERT INTO saga_timeline (saga_id, kind, step, direction, attempt, detail)
    SELECT id, 'sent', 'pay', 'forward', 1, '' FROM sagas CROSS JOIN generate_series(1, 3)
"""
MESSAGES = """
    INSERT INTO outbox (message_id, subject, aggregate, headers, payload, created_at)
    SELECT uuidv7(), 'petpro.events.clinic.changed', n % 50, '{"ce-type": "clinic.changed"}', repeat('x', 300)::bytea,
        now() - interval '8 days' FROM generate_series(1, :rows) n
"""
PUBLISH = """
    UPDATE outbox SET published_at = created_at, stream = 'PETPRO_EVENTS', stream_seq = id WHERE published_at IS NULL
"""
COPIES = """
    INSERT INTO inbox (message_id, received_at)
    SELECT n, now() - interval '60 days' + n * interval '3 minutes' FROM generate_series(1, :rows) n
"""
KEYS = """
    INSERT INTO idempotency_keys (caller, method, key, request_hash, created_at)
    SELECT '', '', n, '', now() - interval '14 days' + n * interval '1 minute' FROM generate_series(1, :rows) n
"""
ACTS = """
    INSERT INTO saga_operations (saga_id, at, verb, operator, reason, saga_version, status_before, step_before,
                                 status_after, step_after)
    SELECT uuidv7(), now() - make_interval(days => n), 'retry', 'wayan', 'the provider is back', 1, '', '', '', ''
    FROM generate_series(1, :rows) n
"""
MANY_SAGAS = """
    INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
                       version, trace, updated_at)
    SELECT uuidv7(), 'checkout', 1, n, CASE WHEN n % 20 = 0 THEN 'running' ELSE 'completed' END, 'pay', 'forward', 1,
        '[]', '{}', 1, '{}', now() - interval '360 days' + n * interval '25 minutes' FROM generate_series(1, :rows) n
"""
MANY_MESSAGES = """
    INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at, stream_seq)
    SELECT uuidv7(), '', '', '{}', '', now() - interval '14 days' + n * interval '1 minute', n
    FROM generate_series(1, :rows) n
"""
FILL = {
    "sagas": MANY_SAGAS,
    "outbox": MANY_MESSAGES,
    "inbox": COPIES,
    "idempotency_keys": KEYS,
    "saga_operations": ACTS,
}


@pytest.fixture
async def booking(database: testing.MakeDatabase) -> AsyncIterator[Database]:
    made = await database("booking")
    opened = Database(made.url, made.password)
    yield opened
    await opened.close()


async def run(database: Database, statement: str, **values: Any) -> list[Any]:
    """Any statement, committed by itself; the first column of what it gives."""
    async with database.session() as session:
        return (await session.execute(text(statement), values)).scalars()


async def test_sagas_that_ended_long_ago_go_with_their_timelines_and_all_others_stay(booking: Database) -> None:
    for status in ("completed", "compensated", "parked", "running", "compensating"):
        await run(booking, SAGAS, status=status, days=200, rows=2)
    await run(booking, SAGAS, status="completed", days=170, rows=1)
    await run(booking, LINE)
    assert await purge_one(booking, SAGA_PURGES[0]) == 4
    left = await run(booking, "SELECT business_key FROM sagas ORDER BY status, id")
    kept = [f"{status} 200 {n}" for status in ("compensating", "parked", "running") for n in (1, 2)]
    assert sorted(left) == sorted([*kept, "completed 170 1"])
    assert await run(booking, "SELECT count(*) FROM saga_timeline") == [3 * len(left)]


@pytest.mark.parametrize("purge", [*PURGES, *SAGA_PURGES], ids=lambda purge: purge.table)
async def test_a_purge_walks_from_the_oldest_on_by_an_index(booking: Database, purge: Purge) -> None:
    await run(booking, FILL[purge.table], rows=20_000)
    await run(booking, f"ANALYZE {purge.table}")
    plan = await run(booking, f"EXPLAIN {purge.statement}", keep=purge.keep, batch=purge.batch)
    told = "\n".join(plan)
    assert "Index Scan using" in told, told
    assert "Seq Scan" not in told, told
    assert "Sort" not in told, told


async def vacuum(booking: Database, option: str = "") -> None:
    """Until nothing dead is left: it stays while anybody has a snapshot, as autovacuum has when it analyzes a table."""

    async def all_is_clean() -> bool:
        await run(booking, f"VACUUM {option} outbox")
        return await run(booking, "SELECT pg_stat_get_dead_tuples('outbox'::regclass)") == [0]

    await eventually(all_is_clean)


async def test_a_table_through_which_everything_passes_does_not_swell(booking: Database) -> None:
    """Autovacuum does in its time what is asked for here."""
    await run(booking, "ALTER TABLE outbox SET (autovacuum_enabled = false)")
    sizes = []
    for _ in range(6):
        await run(booking, MESSAGES, rows=2_000)
        await run(booking, PUBLISH)
        await vacuum(booking)
        assert await purge_one(booking, PURGES[0]) == 2_000
        await vacuum(booking, "(TRUNCATE false)")
        sizes += await run(booking, "SELECT pg_total_relation_size('outbox')")
    assert sizes[-1] <= 1.1 * sizes[1], sizes
