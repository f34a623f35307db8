"""Handlers that take all that is at hand of their kind: many messages or sagas cost the round trips of one."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from petpro_common.db import Transaction

Item = TypeVar("Item")
Outcomes = TypeVar("Outcomes")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Together(Generic[Item, Outcomes]):
    """A handler of all items at hand of its kind; where they have outcomes, it gives one for each, in order.

    When it raises, none was handled, and each is by itself.
    """

    handle: Callable[[Transaction, Sequence[Item]], Awaitable[Outcomes]]


def by_handler(given: Iterable[tuple[object, _Item]]) -> dict[Together[Any, Any], list[_Item]]:
    """The items of each `Together` among (handler, item), in their order; without those of any other handler."""
    groups: dict[Together[Any, Any], list[_Item]] = {}
    for handler, item in given:
        if isinstance(handler, Together):
            groups.setdefault(handler, []).append(item)
    return groups
