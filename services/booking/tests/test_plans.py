"""Statements on several given rows find them by their keys, also by a plan that was made while there was nothing.

`tests/scale` holds everything that services run to that; that a statement is given several rows is rare there.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro_booking import store, store_confirm, store_sagas
from petpro_booking.partitioned import ForEach
from petpro_common.db import Database
from petpro_common.ids import id_of_date, new_id
from services.booking.tests.world import World

GIVEN, ALL = 8, 600
STATEMENTS = {
    name: statement
    for module in (store, store_confirm, store_sagas)
    for name, statement in vars(module).items()
    if isinstance(statement, ForEach)
}
FILL = """
    WITH made AS (
        SELECT uuidv7(n * interval '-1 minute') AS id, n, :clinic_id AS someone, now() + interval '3 days' AS at
        FROM generate_series(1, :all) AS n
    ), slots AS (
        INSERT INTO slots (id, slot_date, service_id, clinic_id, slot_start_time, slot_end_time, starts_at, ends_at)
        VALUES (:slot_id, (now() + interval '3 days')::date, :clinic_id, :clinic_id, '08:00', '09:00',
            now() + interval '3 days', now() + interval '3 days 1 hour') RETURNING id, slot_date
    ), clinic AS (
        INSERT INTO catalog_clinics
        VALUES (:clinic_id, :clinic_id, 'Klinik', 'approved', 'Asia/Jakarta', 10, '{}', '{}', 1)
    ), codes AS (
        INSERT INTO reference_codes SELECT 'PP-' || n, id, id FROM made
    ), held AS (
        INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, lock_id,
            expires_at, starts_at, price, currency, commission_rate, cancellation_policy, requires_approval)
        SELECT made.id, uuid_extract_timestamp(made.id), someone, someone, someone, slots.id, slot_date, someone, '',
            at, at, 1, 'IDR', 10, '{}', false
        FROM made, slots
    )
    INSERT INTO bookings (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, reference_code,
        amount, currency, commission_rate, cancellation_policy, starts_at, ends_at, timezone)
    SELECT made.id, uuid_extract_timestamp(made.id), someone, someone, someone, slots.id, slot_date, someone,
        'PP-' || n, 1, 'IDR', 10, '{}', at, at + interval '1 hour', 'Asia/Jakarta'
    FROM made, slots
"""
_NAME = re.compile(r"(?<!:):(\w+)")
OWN_WORDS = {
    "by": "customer",
    "checkout_status": "awaiting_payment",
    "refund_amount": "1",
    "refund_status": "pending",
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_given_rows_are_found_by_their_keys(booking_database: Database, name: str) -> None:
    statement, slot_id = STATEMENTS[name], id_of_date(datetime.now(UTC).date() + timedelta(days=3))
    async with booking_database.session() as session:
        await session.execute(text(f"PREPARE given AS {_numbered(statement)}"))
        await session.execute(text(_call(statement, [new_id() for _ in range(GIVEN)], slot_id)))
        await session.execute(text(FILL), {"all": ALL, "clinic_id": new_id(), "slot_id": slot_id})
        far_apart = text("SELECT id FROM bookings ORDER BY id")
        ids = (await session.execute(far_apart)).scalars()[:: ALL // GIVEN]
        if name == "_INSERT_BOOKINGS":
            await session.execute(text("DELETE FROM bookings"))
            await session.execute(text("DELETE FROM reference_codes"))
        explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {_call(statement, ids, slot_id)}")
        plan = (await session.execute(explain)).scalar_one()[0]["Plan"]
    read = {node["Relation Name"]: _rows(node) for node in _nodes(plan)}
    assert GIVEN <= max(read.values()) <= GIVEN * GIVEN, read


@pytest.mark.parametrize(("days", "months"), [((3, 3), 1), ((3, 34), 2), ((34, 3), 2)])
async def test_slots_are_locked_without_a_look_into_other_months(
    world: World, booking_database: Database, days: tuple[int, int], months: int
) -> None:
    this_month = datetime.now(UTC).replace(day=1) + timedelta(days=31)
    starts = [this_month.replace(day=1) + timedelta(days=day) - datetime.now(UTC) for day in days]
    slot_ids = [await world.open_slot(start) for start in starts]
    async with booking_database.transaction() as tx:
        assert set(await store.lock_slots(tx, slot_ids)) == set(slot_ids)
        names = list(dict.fromkeys(_NAME.findall(str(store._LOCK_SLOTS))))
        numbered = _NAME.sub(lambda found: f"${names.index(found[1]) + 1}", str(store._LOCK_SLOTS))
        await tx.execute(text(f"PREPARE locking AS {numbered}"))
        first, last = min(slot_ids), max(slot_ids)
        values = {"slot_ids": slot_ids, "first_slot_id": first, "last_slot_id": last}
        call = f"EXECUTE locking ({', '.join(_literal(values[name]) for name in names)})"
        plan = (await tx.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {call}"))).scalar_one()[0]["Plan"]
    assert len([node["Relation Name"] for node in _nodes(plan)]) == months


def _numbered(statement: ForEach) -> str:
    numbers = {name: f"${number}" for number, name in enumerate(_names(statement), 1)}
    return _NAME.sub(lambda found: numbers[found[1]], str(statement._several))


def _names(statement: ForEach) -> list[str]:
    return list(dict.fromkeys(_NAME.findall(str(statement._several))))


def _call(statement: ForEach, ids: list[UUID], slot_id: UUID) -> str:
    rows = ({column: _value(column, id_, slot_id) for column in statement._columns} for id_ in ids)
    _, values = statement.bound(rows)
    return f"EXECUTE given ({', '.join(_literal(values[name]) for name in _names(statement))})"


def _value(column: str, id_: UUID, slot_id: UUID) -> UUID | str:
    known: dict[str, UUID | str] = {
        "id": id_,
        "reservation_id": id_,
        "slot_id": slot_id,
        "refund_floor": "0",
        **OWN_WORDS,
    }
    return known.get(column) or (new_id() if column.endswith("_id") else id_.hex[-12:])


def _literal(value: Any) -> str:
    return f"'{{{','.join(map(str, value))}}}'" if isinstance(value, list) else f"'{value}'"


def _rows(node: dict[str, Any]) -> float:
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)
