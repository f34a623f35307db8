"""The printed way to detach old partitions works, and takes along what it says."""

import re
from datetime import UTC, datetime
from pathlib import Path

from petpro_booking import store_upkeep
from petpro_common.ids import new_id
from services.booking.tests.world import World

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
MARCH = datetime(2025, 3, 10, 2, tzinfo=UTC)
MADE = "2025-02-20 03:00+00"
_MOVE = """
    UPDATE {table} SET id = made.id, created_at = uuid_extract_timestamp(made.id), slot_id = slots.id,
        slot_date = slots.slot_date, starts_at = slots.starts_at {more}
    FROM (SELECT uuidv7(CAST(:at AS timestamptz) - clock_timestamp()) AS id) AS made, slots
    WHERE {table}.slot_id = :before AND slots.id = :slot_id
"""


def printed() -> list[str]:
    """The statements that operations.md has for it."""
    section = OPERATIONS.read_text().split("## Old partitions", 1)[1]
    block = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert block
    lines = [line for line in block[1].splitlines() if not line.startswith("--")]
    return [statement for statement in " ".join(lines).split(";") if statement.strip()]


async def _completed_in_march(world: World) -> None:
    """A visit of somebody's in March 2025, booked in February."""
    for table in ("reservations", "bookings"):
        await world.sql("SELECT ensure_quarter_partition(:name, CAST(:at AS timestamptz))", name=table, at=MADE)
    await world.sql("SELECT ensure_slot_partition('2025-03-01')")
    old = await world.open_slot(MARCH - datetime.now(UTC), staff_id=new_id())
    booked = await world.open_slot()
    await world.book(new_id(), booked)
    for table, more in (("bookings", ", ends_at = slots.ends_at, status = 'completed'"), ("reservations", "")):
        await world.sql(_MOVE.format(table=table, more=more), at=MADE, before=booked, slot_id=old)


async def _refreshed(world: World) -> set[str]:
    """The months of which the summary speaks."""
    async with world.database.transaction() as tx:
        assert await store_upkeep.refresh_summary(tx)
    return {str(row.month)[:7] for row in await world.sql("SELECT month FROM clinic_booking_summary")}


async def test_all_up_to_a_month_is_detached_as_it_is_printed(world: World) -> None:
    await world.book(new_id(), await world.open_slot())
    await _completed_in_march(world)
    before = await _refreshed(world)
    assert "2025-02" in before

    for statement in printed():
        await world.sql(statement)

    left = await world.sql("""
        SELECT inhrelid::regclass::text AS name FROM pg_inherits
        WHERE inhrelid::regclass::text IN ('slots_2025_03', 'bookings_2025_q1', 'reservations_2025_q1')
    """)
    assert not left
    assert len(await world.sql("SELECT FROM bookings_2025_q1")) == 1
    assert await _refreshed(world) == before - {"2025-02"}
    archive = await world.sql("SELECT month FROM clinic_booking_summary_archive")
    assert [str(row.month)[:7] for row in archive] == ["2025-02"]
