"""A statement that is built for a call is compiled once for its shape, and runs with the values of the call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from petpro_common import statements
from petpro_common.statements import compiled

pytestmark = pytest.mark.unit

BORN = datetime(2020, 5, 1, tzinfo=UTC)

DOGS = Table(
    "dogs",
    MetaData(),
    Column("id", Integer),
    Column("name", String),
    Column("notes", JSONB),
    Column("born_at", DateTime(timezone=True)),
)


def named(names: Sequence[str]) -> Select[tuple[int]]:
    return select(DOGS.c.id).where(DOGS.c.name.in_(names))


def test_one_shape_takes_the_values_of_each_call() -> None:
    first, second = (
        compiled(update(DOGS).where(DOGS.c.id == id_).values(name=name), {}) for id_, name in [(1, "Rex"), (2, "Bo")]
    )
    assert first.wired == second.wired
    assert set(first.arguments({})) == {1, "Rex"}
    assert set(second.arguments({})) == {2, "Bo"}


def test_a_shape_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Mock(wraps=statements._compile)
    monkeypatch.setattr(statements, "_compile", counted)
    for number in range(5):
        compiled(insert(DOGS).values(id=number, name=literal("Rex"), notes={"number": number}, born_at=func.now()), {})
    assert counted.call_count == 1


def test_values_are_converted_for_each_call() -> None:
    given = [compiled(insert(DOGS).values(notes={"number": number}), {}).arguments({})[0] for number in (1, 2)]
    assert [json.obj for json in given] == [{"number": 1}, {"number": 2}]


def test_a_list_of_another_length_is_another_statement() -> None:
    one, two = compiled(named(["Rex"]), {}), compiled(named(["Rex", "Bo"]), {})
    assert set(one.arguments({})) == {"Rex"}
    assert set(two.arguments({})) == {"Rex", "Bo"}
    assert one.wired.sql != two.wired.sql


def test_no_value_is_another_question() -> None:
    nobody, somebody = (compiled(select(DOGS).where(DOGS.c.born_at == born), {}) for born in (None, BORN))
    assert "IS NULL" in nobody.wired.sql
    assert list(somebody.arguments({})) == [BORN]


def test_what_is_asked_for_comes_with_the_call() -> None:
    found = compiled(text("SELECT :id"), {"id": 1})
    assert (found.wired.sql, found.arguments({"id": 1})) == ("SELECT $1", [1])
    one = compiled(select(DOGS.c.name).where(DOGS.c.id == bindparam("id")), {"id": 1})
    assert one.arguments({"id": 1}) == [1]


def test_a_value_that_is_used_twice_travels_once() -> None:
    found = compiled(text("SELECT :name, :other, :name, 7 % 4"), {})
    assert found.wired.sql == "SELECT $1, $2, $1, 7 % 4"
    assert found.arguments({"other": 2, "name": 1}) == [1, 2]
