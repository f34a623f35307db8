"""What a run of the auditor leaves for the next one, and how it follows up more suspects than it holds at a time."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.layout import ROOT
from petproctl.audit import run, state
from petproctl.audit.databases import CannotLook, Databases
from petproctl.audit.look import Look, Scope
from petproctl.audit.model import INVARIANTS, Invariant
from petproctl.audit.provider import Sandbox
from petproctl.audit.run import MOST, OVERLAP, Report, audit

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MANY = 2 * MOST + 5


class Empty(Databases):
    """Nothing is in any table."""

    def rows(self, service: str, statement: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"at": NOON, "count": 0}]


@pytest.fixture
def databases() -> Iterator[Databases]:
    with ExitStack() as open_things:
        yield Empty({}, open_things)


@pytest.fixture
def one_stands_at(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Only one invariant, which suspects MANY, of which one stands; the others are gone at the second look."""

    def suspicious(look: Look) -> Iterator[tuple[str, str]]:
        for number in map(str, range(MANY)) if look.only is None else look.only:
            if look.only is None or number == str(request.param):
                yield number, "is wrong"

    monkeypatch.setattr(run, "INVARIANTS", {"odd": Invariant("odd", 1, suspicious)})


def _audit(databases: Databases) -> Report:
    never: Any = None
    return audit(databases, Sandbox(never), Scope(None, timedelta(seconds=60)), pause=timedelta(0))


@pytest.mark.parametrize("one_stands_at", [0, MOST, MANY - 1], indirect=True)
@pytest.mark.usefixtures("one_stands_at")
def test_a_fault_behind_a_thousand_suspects_is_found(databases: Databases) -> None:
    assert len(_audit(databases).violations) == 1


@pytest.mark.parametrize("one_stands_at", [0], indirect=True)
@pytest.mark.usefixtures("one_stands_at")
def test_a_run_that_was_cut_short_is_not_gone_on_from(databases: Databases, tmp_path: Path) -> None:
    state.save(tmp_path / "state.json", _audit(databases))
    assert state.load(tmp_path / "state.json") == state.State()


@pytest.mark.parametrize("one_stands_at", [MANY - 1], indirect=True)
@pytest.mark.usefixtures("one_stands_at")
def test_the_next_run_begins_before_this_one_and_looks_at_what_stands(databases: Databases, tmp_path: Path) -> None:
    state.save(tmp_path / "state.json", _audit(databases))
    assert state.load(tmp_path / "state.json") == state.State(NOON - OVERLAP, {"odd": (str(MANY - 1),)})
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(CannotLook):
        state.load(tmp_path / "state.json")


def test_every_invariant_belongs_to_the_promise_of_the_documents_and_says_what_it_is() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| (\d) \| [^|]+ \| (`[^|]+`) \|$", text, re.MULTILINE)
    promised = {name: int(number) for number, names in rows for name in re.findall(r"`([^`]+)`", names)}
    assert {int(number) for number, _ in rows} == {1, 2, 3, 4, 5}
    assert {each.name: each.number for each in INVARIANTS.values()} == promised
    assert all(each.promise for each in INVARIANTS.values())
