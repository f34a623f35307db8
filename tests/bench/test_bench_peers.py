"""A step that is given several sagas does to each what it does to one alone."""

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text

from bench.peers import business, together
from devstack.testing import MakeDatabase
from petpro_common.db import Database

FINISHED, POOR, OTHERS = 3, 4, [1, 2, 5, 6, 7, 8]
"""A booking that is no longer confirmed, one of whose payment less was captured than goes back, and more."""
_FINISH = text("UPDATE bookings SET status = 'completed' WHERE id = identity(1, :number)")
_IMPOVERISH = text("UPDATE payments SET captured = 1 WHERE id = identity(2, :number)")
_COLUMNS = {
    "bookings": "id, status, cancellation_status, cancellation_reason, cancellation_count, refund_amount",
    "slots": "id, booked_count",
    "payments": "id, captured, refund_reserved, refund_done",
    "refunds": "id, payment_id, booking_id, amount, status",
    "financial_entries": "id, booking_id, clinic_id, refund_id, total_amount, status, settlement_date IS NULL",
    "events": "booking_id, type, body",
}


@pytest.fixture
async def databases(empty_database: MakeDatabase) -> AsyncIterator[list[Database]]:
    """Two with the same bookings, of which some are for one slot."""
    opened = []
    for _ in range(2):
        made = await empty_database("booking")
        opened.append(Database(made.url, made.password))
        async with opened[-1].session() as session:
            script = business._TABLES.read_text() + business._LOAD.format(bookings=8, slots=3)
            for statement in filter(str.strip, script.split(";\n")):
                await session.execute(text(statement))
            await session.execute(_FINISH, {"number": FINISHED})
            await session.execute(_IMPOVERISH, {"number": POOR})
    yield opened
    for database in opened:
        await database.close()


async def _take(database: Database, step: str, batches: Sequence[Sequence[int]]) -> None:
    async with database.transaction() as tx:
        for batch in batches:
            tx.write(*together.bound(step, batch))


async def _found(database: Database) -> dict[str, list[object]]:
    async with database.reading() as tx:
        return {
            table: (await tx.execute(text(f"SELECT {columns} FROM {table} ORDER BY {columns.split(',')[0]}"))).all()  # noqa: S608
            for table, columns in _COLUMNS.items()
        }


async def test_steps_do_the_same_for_several_sagas_as_for_each_by_itself(databases: list[Database]) -> None:
    for step, numbers in [
        ("request", [*OTHERS, FINISHED, POOR]),
        ("reserve_refund", [*OTHERS, POOR]),
        ("post_refund_entry", OTHERS),
        ("cancel_booking", OTHERS),
        ("settle_refund", OTHERS),
    ]:
        for database, batches in zip(databases, ([[number] for number in numbers], [numbers]), strict=True):
            await _take(database, step, batches)
        one_by_one, at_once = [await _found(database) for database in databases]
        assert one_by_one == at_once, step
    found = await _found(databases[0])
    assert len(found["events"]) == len(found["refunds"]) == len(OTHERS)
