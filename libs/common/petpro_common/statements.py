"""SQLAlchemy's statements as the driver takes them: compiled once, and run without SQLAlchemy's work for each call.

Statements are written with `text()` or SQLAlchemy Core over the tables in `tables.py`. One that a module keeps is
compiled the first time it runs. One that is built for a call is compiled once for its shape, by SQLAlchemy's own cache
key; building it and its key still costs several times what a kept one does, so hot ways keep theirs.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from psycopg.adapt import PyFormat
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

Convert = Callable[[Any], Any]

_DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_PLACEHOLDER = re.compile(r"%(?:%|\((?P<name>[^()]+)\)s)")  # as the dialect writes them, and a percent sign
_kept: "WeakKeyDictionary[ClauseElement, Compiled]" = WeakKeyDictionary()
_shapes: "dict[Any, _Shape]" = {}


@dataclass(frozen=True)
class Wired:
    """SQL with numbered placeholders, as the server takes it."""

    sql: str
    names: tuple[str, ...]
    """The parameters, in the order of their numbers."""
    formats: tuple[PyFormat, ...]
    lists: tuple[int, ...]
    """Which of them are lists."""
    convert: Mapping[str, Convert]
    """How the driver wants the value of a parameter, where it is not taken as it is (JSON)."""


@dataclass(frozen=True)
class Compiled:
    """What goes to the driver, and the values that the statement itself holds."""

    wired: Wired
    own_values: Mapping[str, Any]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """The values of one call, in the order of the placeholders. Raises KeyError when one is missing."""
        convert = self.wired.convert
        values = {**self.own_values, **given} if self.own_values else given
        if not convert:
            return [values[name] for name in self.wired.names]
        return [convert[name](values[name]) if name in convert else values[name] for name in self.wired.names]


def compiled(statement: ClauseElement, given: Mapping[str, Any]) -> Compiled:
    """The statement for the driver. `given` are a call's values; each is of one kind in all calls of a statement."""
    kept = _kept.get(statement)
    if kept is None:
        kept = _kept[statement] = _of_shape(statement, given)
    return kept


@dataclass(frozen=True)
class _Shape:
    """What statements have in common that differ in their values alone."""

    made: Any
    wired: Wired
    asked_for: frozenset[str]

    def with_values_of(self, key: Any) -> Compiled:
        values = self.made.construct_params(extracted_parameters=key.bindparams if key else None, _check=False)
        own = {name: value for name, value in values.items() if name not in self.asked_for}
        return Compiled(self.wired, own)


def _of_shape(statement: ClauseElement, given: Mapping[str, Any]) -> Compiled:
    key = statement._generate_cache_key()  # what SQLAlchemy's engine does for each call
    if key is None:
        return _compile(statement, given, None).with_values_of(None)
    name = (key.key, tuple(given))
    shape = _shapes.get(name)
    if shape is None:
        shape = _compile(statement, given, key)
        if not shape.made.post_compile_params:  # the length of a list in it belongs to the shape
            _shapes[name] = shape
    return shape.with_values_of(key)


def _compile(statement: ClauseElement, given: Mapping[str, Any], key: Any) -> _Shape:
    made: Any = statement.compile(
        dialect=_DIALECT,
        column_keys=list(given) or None,
        compile_kwargs={"render_postcompile": True},
        **({"cache_key": key} if key else {}),
    )
    convert = {}
    for name, bind in made.binds.items():
        processor = bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        if processor is not None and name in made.params:
            convert[name] = processor
    asked_for = frozenset(name for name, bind in made.binds.items() if bind.required)
    return _Shape(made, _wired(str(made), given, convert), asked_for)


def _wired(sql: str, given: Mapping[str, Any], convert: Mapping[str, Convert]) -> Wired:
    """Lists travel in binary (see `arrays`): as text each element is quoted in Python, a hundred times as slow."""
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        name = found["name"]
        return f"${names.setdefault(name, len(names) + 1)}" if name else "%"

    numbered_sql = _PLACEHOLDER.sub(numbered, sql)
    lists = tuple(place for place, name in enumerate(names) if isinstance(given.get(name), list))
    formats = tuple(PyFormat.BINARY if place in lists else PyFormat.AUTO for place in range(len(names)))
    return Wired(numbered_sql, tuple(names), formats, lists, convert)
