"""The migrated databases against the domain document: each difference is listed, with its reason, or is a fault."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.rows import dict_row

from devstack.testing import MakeDatabase

HERE = Path(__file__).parent
DEVIATIONS = HERE.parents[1] / "docs" / "schema-deviations.md"
TABLES: dict[str, Any] = yaml.safe_load((HERE / "document.yaml").read_text())["tables"]

COLUMNS = """
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
    WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
"""
CHECKS = """
    SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
    WHERE conrelid = to_regclass(%(table)s) AND contype = 'c'
"""
INDEXES = "SELECT indexname AS name FROM pg_indexes WHERE tablename = %(table)s"
SAME_TYPE = {"character varying": "varchar", "numeric": "decimal", "time without time zone": "time"}


@cache
def reasons(service: str) -> str:
    """What the list of deviations says under the heading of a service."""
    found = re.search(rf"^## {service}$(.*?)(?=^## |\Z)", DEVIATIONS.read_text(), re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def is_listed(service: str, name: str) -> bool:
    return re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", reasons(service)) is not None


async def rows(dsn: str, query: str, table: str) -> dict[str, dict[str, Any]]:
    async with await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row) as connection:
        cursor = await connection.execute(query, {"table": table})
        return {row["name"]: row for row in await cursor.fetchall()}


def plain_type(written: str) -> str:
    """One spelling for each type: varchar(20), decimal(12,2), time."""
    for long, short in SAME_TYPE.items():
        written = written.replace(long, short)
    return written


@pytest.mark.parametrize("table", TABLES)
async def test_the_table_is_as_the_document_has_it_or_the_difference_is_listed(
    table: str, database: MakeDatabase
) -> None:
    wanted = TABLES[table]
    service = wanted["service"]
    dsn = (await database(service)).superuser_dsn
    columns, checks, indexes = [await rows(dsn, query, table) for query in (COLUMNS, CHECKS, INDEXES)]
    assert columns, f"{service} has no table {table}"

    differences = [
        *_of_columns(wanted["columns"], columns),
        *_of_values(wanted.get("values", {}), checks),
        *(name for name in wanted.get("checks", ()) if name not in checks),
        *(name for name in wanted["indexes"] if name not in indexes),
    ]
    unlisted = [name for name in differences if not is_listed(service, name)]
    assert not unlisted, f"differs from the document without a reason in {DEVIATIONS.name}: {unlisted}"


def _of_columns(wanted: dict[str, str], found: dict[str, dict[str, Any]]) -> list[str]:
    lacking = [name for name in wanted if name not in found]
    other = [
        name for name, kind in wanted.items() if name in found and plain_type(found[name]["type"]) != plain_type(kind)
    ]
    return lacking + other


def _of_values(wanted: dict[str, list[str]], checks: dict[str, dict[str, Any]]) -> list[str]:
    """Columns of which some value of the document is not allowed. More values are welcome."""
    definitions = [check["definition"] for check in checks.values()]

    def allowed(column: str, value: str) -> bool:
        return any(re.search(rf"\b{column}\b", text) and f"'{value}'" in text for text in definitions)

    return [column for column, values in wanted.items() if not all(allowed(column, value) for value in values)]


@pytest.mark.unit
def test_all_twelve_tables_are_asked_for() -> None:
    assert len(TABLES) == 12
    assert {table["service"] for table in TABLES.values()} == {
        "account",
        "catalog",
        "booking",
        "payment",
        "notification",
    }
