"""What the database itself forbids and promises."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import IntegrityError
from psycopg.errors import LockNotAvailable
from sqlalchemy import Table, create_engine, insert, inspect, text

from devstack.testing import MakeDatabase
from petpro_booking import partitions, store, store_upkeep
from petpro_booking.tables import metadata, slots
from petpro_common.db import Database
from petpro_common.ids import id_of_date, new_id
from petpro_common.migrate import sqlalchemy_url
from services.booking.tests.world import World

JUST_BEFORE_MIDNIGHT = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def partitions_of_the_turn_of_the_year(booking_database: Database) -> None:
    async with booking_database.transaction() as tx:
        await store_upkeep.ensure_slots_of(tx, [date(2026, 12, 1), date(2027, 1, 1)])


def slot(starts: datetime, minutes: int = 30, **more: Any) -> dict[str, Any]:
    ends = starts + timedelta(minutes=minutes)
    return {
        "id": id_of_date(starts.date()),
        "service_id": new_id(),
        "clinic_id": new_id(),
        "slot_date": starts.date(),
        "slot_start_time": starts.time(),
        "slot_end_time": ends.time(),
        "starts_at": starts,
        "ends_at": ends,
        **more,
    }


async def add(database: Database, row: dict[str, Any]) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(slots).values(row))


async def test_nobody_is_in_two_places_at_once_across_midnight_and_months(booking_database: Database) -> None:
    doctor, nurse = new_id(), new_id()
    await add(booking_database, slot(JUST_BEFORE_MIDNIGHT, 60, staff_id=doctor))
    new_year = JUST_BEFORE_MIDNIGHT + timedelta(minutes=45)

    with pytest.raises(IntegrityError, match="one_place_at_a_time"):
        await add(booking_database, slot(new_year, staff_id=doctor))
    await add(booking_database, slot(new_year, staff_id=nurse))
    await add(booking_database, slot(new_year))
    await add(booking_database, slot(JUST_BEFORE_MIDNIGHT + timedelta(hours=1), staff_id=doctor))


async def test_of_two_who_plan_a_person_at_the_same_moment_one_is_refused(booking_database: Database) -> None:
    for _ in range(40):
        doctor = new_id()
        rows = [slot(JUST_BEFORE_MIDNIGHT, staff_id=doctor), slot(JUST_BEFORE_MIDNIGHT, 15, staff_id=doctor)]
        outcomes = await asyncio.gather(*(add(booking_database, row) for row in rows), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ExclusionViolation", "NoneType"]


async def test_a_blocked_slot_still_takes_its_persons_time_and_a_deleted_one_gives_it_back(
    booking_database: Database,
) -> None:
    doctor = new_id()
    first = slot(JUST_BEFORE_MIDNIGHT, staff_id=doctor, status="blocked")
    await add(booking_database, first)
    again = slot(JUST_BEFORE_MIDNIGHT, staff_id=doctor)
    with pytest.raises(IntegrityError, match="one_place_at_a_time"):
        await add(booking_database, again)

    async with booking_database.transaction() as tx:
        await tx.execute(slots.delete().where(slots.c.id == first["id"]))
    await add(booking_database, again)


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"capacity": 0, "status": "booked"}, "valid_capacity"),
        ({"booked_count": -1}, "valid_booked_count"),
        ({"booked_count": 2, "status": "blocked"}, "valid_booked_count"),
        ({"booked_count": 1}, "status_tells_seats"),
        ({"status": "booked"}, "status_tells_seats"),
        ({"status": "lost"}, "status"),
        ({"capacity": None}, "capacity"),
        ({"id": new_id()}, "id_carries_slot_date"),
        ({"id": UUID("0b1e1dd6-5f0e-4a0c-9f4e-0b1e1dd65f0e")}, "id_carries_slot_date"),
        ({"ends_at": JUST_BEFORE_MIDNIGHT}, "valid_slot_time"),
        ({"ends_at": JUST_BEFORE_MIDNIGHT + timedelta(hours=25)}, "valid_slot_time"),
    ],
)
async def test_slots_that_cannot_be_are_refused(
    booking_database: Database, wrong: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        await add(booking_database, slot(JUST_BEFORE_MIDNIGHT, **wrong))


async def test_a_look_up_by_id_reads_one_partition_also_under_a_generic_plan(world: World) -> None:
    budi, slot_id = new_id(), await world.open_slot()
    booking_id = await world.book(budi, slot_id)
    [reservation] = await world.sql("SELECT id FROM reservations")
    locking, _ = store.locking_reservations([reservation.id])
    looked_up = {
        store._GET_SLOT.text.replace(":slot_id", "$1"): slot_id,
        store._TAKE_SEAT.text.replace(":slot_id", "$1"): slot_id,
        str(locking).replace(":id", "$1"): reservation.id,
        store._LOCK_BOOKING.text.replace(":id", "$1"): booking_id,
        store._GET_BOOKING.text.replace(":id", "$1"): booking_id,
    }
    for statement, id_ in looked_up.items():
        for mode in ("force_generic_plan", "force_custom_plan"):
            scanned = await _partitions_scanned(world, statement, id_, mode)
            assert len(scanned) == 1, (statement, mode, scanned)


async def _partitions_scanned(world: World, statement: str, id_: UUID, mode: str) -> set[str]:
    async with world.database.transaction() as tx:
        await tx.execute(text(f"SET LOCAL plan_cache_mode = {mode}"))
        await tx.execute(text(f"PREPARE look_up (uuid) AS {statement}"))
        plan = (await tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE look_up ('{id_}')"))).scalar_one()
        await tx.execute(text("DEALLOCATE look_up"))
    return {node["Relation Name"] for node in _nodes(plan[0]["Plan"]) if _was_scanned(node)}


def _was_scanned(node: dict[str, Any]) -> bool:
    return "Scan" in node["Node Type"] and "Relation Name" in node and node["Actual Loops"] > 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


async def test_partitions_lie_ahead_and_bear_the_documents_names(booking_database: Database) -> None:
    await partitions.make_ahead(booking_database)
    async with booking_database.transaction() as tx:
        await tx.execute(text("SELECT ensure_slot_partition(:day)"), {"day": date(2029, 2, 14)})
        await tx.execute(
            text("SELECT ensure_quarter_partition('bookings', :at)"), {"at": datetime(2029, 5, 1, tzinfo=UTC)}
        )
        names = set((await tx.execute(text("SELECT inhrelid::regclass::text FROM pg_inherits"))).scalars())
        bound = text("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'bookings_2029_q2'")
        bounds = (await tx.execute(bound)).scalar_one()

    assert {"slots_2029_02", "bookings_2029_q2"} <= names
    assert bounds == "FOR VALUES FROM ('2029-04-01 00:00:00+00') TO ('2029-07-01 00:00:00+00')"
    await partitions.count_ahead(booking_database)
    assert partitions_ahead() == {"slots": 4.0, "reservations": 3.0, "bookings": 3.0}, "2029 is behind a gap"


def partitions_ahead() -> dict[str, float]:
    tables = ("slots", "reservations", "bookings")
    return {table: partitions.PARTITIONS_AHEAD.labels(table)._value.get() for table in tables}


async def test_what_lies_behind_a_gap_or_was_detached_is_not_ahead_and_it_shows_while_none_can_be_made(
    booking_database: Database,
) -> None:
    next_month = text(
        "SELECT 'slots_' || to_char(CURRENT_TIMESTAMP AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')"
    )
    await partitions.make_ahead(booking_database)
    async with booking_database.transaction() as tx:
        name = (await tx.execute(next_month)).scalar_one()
        await tx.execute(text(f"ALTER TABLE slots DETACH PARTITION {name}"))
    await partitions.count_ahead(booking_database)
    assert partitions_ahead()["slots"] == 0.0, "it is there, and not of the table"

    async with booking_database.transaction() as tx:
        await tx.execute(text(f"DROP TABLE {name}"))
    async with booking_database.transaction() as reader:
        await reader.execute(text("SELECT count(*) FROM slots"))
        with pytest.raises(LockNotAvailable):
            await partitions.make_ahead(booking_database)
        await partitions.count_ahead(booking_database)
    assert partitions_ahead() == {"slots": 0.0, "reservations": 3.0, "bookings": 3.0}


async def test_the_table_objects_are_the_migrated_tables(database: MakeDatabase) -> None:
    made = await database("booking")
    engine = create_engine(sqlalchemy_url(made.url, made.password))
    with engine.connect() as connection:
        seen = inspect(connection)
        found = {
            name: {(column["name"], str(column["type"]), column["nullable"]) for column in seen.get_columns(name)}
            for name in metadata.tables
        }
    engine.dispose()
    for name, table in metadata.tables.items():
        assert found[name] == _columns(table, engine.dialect), name


def _columns(table: Table, dialect: Any) -> set[tuple[str, str, bool]]:
    found = inspect(table).columns
    return {(column.name, _type(column.type, dialect), bool(column.nullable)) for column in found}


def _type(kind: Any, dialect: Any) -> str:
    compiled = str(kind.compile(dialect))
    return {"TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIME WITHOUT TIME ZONE": "TIME"}.get(compiled, compiled)
