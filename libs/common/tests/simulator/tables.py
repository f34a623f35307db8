"""What one service has written, and the changes to it that can be taken back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from libs.common.tests.simulator.pauses import Clock

Effect: TypeAlias = tuple[int, str, str, str]  # the order of all effects, business key, step, direction


class Counter:
    """Numbers in the order in which they are asked for."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        self.last += 1
        return self.last


@dataclass
class Tables:
    """What has been written. Rows are replaced and never changed, so that a transaction can take them back."""

    clock: Clock
    order: Counter
    sagas: dict[UUID, Any] = field(default_factory=dict)
    keys: dict[str, UUID] = field(default_factory=dict)
    timeline: dict[int, Any] = field(default_factory=dict)
    outbox: dict[int, Any] = field(default_factory=dict)
    message_ids: dict[str, int] = field(default_factory=dict)
    inbox: dict[str, Any] = field(default_factory=dict)
    parked: dict[str, Any] = field(default_factory=dict)
    works: dict[tuple[str, str], str] = field(default_factory=dict)
    decisions: dict[str, Any] = field(default_factory=dict)
    effects: dict[int, Effect] = field(default_factory=dict)
    broker_memory: dict[str, Any] = field(default_factory=dict)

    def unpublished(self) -> list[Any]:
        return [row for row in self.outbox.values() if row.published_at is None]


def due(tables: Tables) -> list[Any]:
    """Sagas that wait for their time, the first due first."""
    waiting = [row for row in tables.sagas.values() if row.due_at is not None]
    return sorted(waiting, key=lambda row: row.due_at)


class Changes:
    """Everything put into them is there at once, and gone again when they are rolled back."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._taken_back: list[Callable[[], None]] = []

    def put(self, table: dict[Any, Any], key: Any, row: Any) -> None:
        if key in table:
            before = table[key]
            self._taken_back.append(lambda: table.__setitem__(key, before))
        else:
            self._taken_back.append(lambda: table.pop(key))
        table[key] = row

    def effect(self, business_key: str, step: str, direction: str) -> None:
        """Something real is done: the invariants count these."""
        number = self.tables.order.next()
        self.put(self.tables.effects, number, (number, business_key, step, direction))

    def mark(self) -> int:
        """A place that can be rolled back to."""
        return len(self._taken_back)

    def roll_back(self, to: int = 0) -> None:
        while len(self._taken_back) > to:
            self._taken_back.pop()()
