"""Acts that share a transaction do not share their misfortune."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.sandbox.errors import NotFound
from devstack.sandbox.objects import Event
from devstack.sandbox.store import Store, Transaction

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "sandbox.sqlite3")
    yield store
    store.close()


def tell(tx: Transaction, event_id: str) -> None:
    tx.add_event(Event(event_id, "refund.pending", "re_1", 0, b"{}"), [0])


def told(store: Store) -> list[str]:
    with store.transaction() as tx:
        return [letter.event for letter in tx.deliveries_due(0, 10)]


def test_what_an_act_did_before_it_raised_is_undone_alone(store: Store) -> None:
    def half(tx: Transaction) -> None:
        tell(tx, "half")
        raise NotFound("refund_not_found", "No refund.")

    with store.transaction() as tx:
        outcomes = [tx.attempt(act) for act in (lambda tx: tell(tx, "before"), half, lambda tx: tell(tx, "after"))]
    assert [type(outcome) for outcome in outcomes] == [type(None), NotFound, type(None)]
    assert told(store) == ["before", "after"]


def test_nothing_of_a_transaction_that_fails_remains(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as tx:
            tx.attempt(lambda tx: tell(tx, "lost"))
            raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        fail()
    assert told(store) == []
