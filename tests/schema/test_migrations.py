"""Migrations only add, so that the version that runs serves on; one that removes says so in its name."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from alembic import op

from devstack.layout import SERVICES
from petpro_common.versions import migrations_of

pytestmark = pytest.mark.unit

REMOVES = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|VIEW|MATERIALIZED)|\bRENAME\b|\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b"
    r"|\bALTER\s+(COLUMN\s+)?\w+\s+SET\s+NOT\s+NULL|^\s*TRUNCATE\b",
    re.IGNORECASE | re.MULTILINE,
)
VIEW_MADE_ANEW = re.compile(r"DROP MATERIALIZED VIEW (\w+);(?=\s*CREATE MATERIALIZED VIEW \1 )")
"""In one transaction: who reads the view waits, and finds it."""
LATER = [
    pytest.param(service, file, id=f"{service} {file.stem}")
    for service in SERVICES
    for file in sorted(migrations_of(f"petpro_{service}").glob("versions/[0-9]*.py"))[1:]
]


@pytest.mark.parametrize(("service", "file"), LATER)
def test_a_migration_that_removes_is_named_so(service: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def execute(statement: Any, *_: Any, **__: Any) -> None:
        done.append(str(statement))

    monkeypatch.setattr(op, "execute", execute)
    importlib.import_module(f"petpro_{service}.migrations.versions.{file.stem}").upgrade()
    assert done
    removed = [found.group() for statement in done for found in REMOVES.finditer(VIEW_MADE_ANEW.sub("", statement))]
    assert not removed or "contract" in file.stem, removed


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE bookings DROP COLUMN notes",
        "ALTER TABLE bookings RENAME notes TO remarks",
        "ALTER TABLE bookings ALTER COLUMN amount TYPE bigint",
        "ALTER TABLE bookings ALTER notes SET NOT NULL",
        "drop table bookings",
    ],
)
def test_what_removes_is_known(statement: str) -> None:
    assert REMOVES.search(statement)


def test_a_view_that_is_made_anew_at_once_is_not_removed() -> None:
    anew = "DROP MATERIALIZED VIEW months;\n\nCREATE MATERIALIZED VIEW months AS SELECT 1"
    assert not REMOVES.search(VIEW_MADE_ANEW.sub("", anew))
    for removed in (anew.replace("VIEW months AS", "VIEW weeks AS"), "DROP MATERIALIZED VIEW months;"):
        assert REMOVES.search(VIEW_MADE_ANEW.sub("", removed))
