"""SQLAlchemy's statements as the driver takes them: compiled once, and run without SQLAlchemy's work for each call.

Statements are written with `text()` or SQLAlchemy Core over the tables in `tables.py`. One that a module keeps is
compiled the first time it runs; one that is built for a call is compiled for that call, so hot ways keep theirs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

Convert = Callable[[Any], Any]

_DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_kept: "WeakKeyDictionary[ClauseElement, Compiled]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Compiled:
    """What goes to the driver: SQL with named placeholders, and the values that the statement itself holds."""

    sql: str
    own_values: Mapping[str, Any]
    convert: Mapping[str, Convert]
    """How the driver wants the value of a parameter, where it is not taken as it is (JSON)."""

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of one call."""
        values = {**self.own_values, **given}
        for name, converted in self.convert.items():
            values[name] = converted(values[name])
        return values


def compiled(statement: ClauseElement, given: Mapping[str, Any]) -> Compiled:
    """The statement for the driver. `given` are a call's values; each is of one kind in all calls of a statement."""
    kept = _kept.get(statement)
    if kept is None:
        kept = _kept[statement] = _compile(statement, given)
    return kept


def _compile(statement: ClauseElement, given: Mapping[str, Any]) -> Compiled:
    made: Any = statement.compile(
        dialect=_DIALECT, column_keys=list(given) or None, compile_kwargs={"render_postcompile": True}
    )
    convert = {}
    for name, bind in made.binds.items():
        processor = bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        if processor is not None and name in made.params:
            convert[name] = processor
    asked_for = {name for name, bind in made.binds.items() if bind.required}
    own = {name: value for name, value in made.params.items() if name not in asked_for}
    return Compiled(_with_binary_lists(str(made), given), own, convert)


def _with_binary_lists(sql: str, given: Mapping[str, Any]) -> str:
    """Has lists travel in binary: as text each element is quoted in Python, a hundred times as slow."""
    for name, value in given.items():
        if isinstance(value, list):
            sql = sql.replace(f"%({name})s", f"%({name})b")
    return sql
