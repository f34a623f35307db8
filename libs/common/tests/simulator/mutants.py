"""A planted bug: it replaces one function of the code under test by one that is wrong in one way."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from libs.common.tests.simulator.database import Transaction


@dataclass(frozen=True)
class Mutant:
    """`wrong` is given what the right function was, and makes what stands in its place."""

    name: str
    place: Any
    function: str
    wrong: Callable[[Any], Any]

    def planted(self) -> AbstractContextManager[Any]:
        return mock.patch.object(self.place, self.function, self.wrong(getattr(self.place, self.function)))


def outside_the_transaction(right: Any) -> Any:
    """What is written with the commit is written at once, and stays where the transaction fails."""

    def write(tx: Transaction, *args: Any) -> None:
        other = Transaction(tx.tables)
        right(other, *args)
        for late, rows in other._late.items():
            other.write(late.statement, late.columns(rows))

    return write
