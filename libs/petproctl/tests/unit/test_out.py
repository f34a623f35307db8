"""What petproctl writes to `--out` beside a platform, and what is left when it cannot."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from petproctl import terminal
from petproctl.gateway import Unreachable
from petproctl.main import app

WHO = "01980000-0000-7000-8000-000000000001"
PERSON = ("users", "export", WHO)
PLACES = {PERSON: "/notification", ("money", "export"): "/journal", ("settlement", "statement", WHO): "/statement"}
"""Each document, and the last place that is asked for it."""


class Platform:
    """A gateway that holds one row of a person in each service, no books and an empty statement, until it is away."""

    is_away_at = ""

    def pages(self, path: str, name: str, limit: int, **filters: object) -> list[dict[str, Any]]:
        self._be_reached(path)
        return [{"table": "told", "values": filters}]

    def get(self, path: str, **query: object) -> dict[str, Any]:
        self._be_reached(path)
        return {"content": "date,amount\r\n"} if path.endswith("/statement") else {}

    def _be_reached(self, path: str) -> None:
        if self.is_away_at and path.endswith(self.is_away_at):
            raise Unreachable("it does not answer")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    made = Platform()

    @contextmanager
    def signed_in(_: object) -> Iterator[Platform]:
        yield made

    monkeypatch.setattr(terminal, "Gateway", signed_in)
    monkeypatch.setattr(terminal, "sign_in_of", lambda *_: None)
    return made


def write(document: tuple[str, ...], out: Path) -> int:
    return CliRunner().invoke(app, [*document, "--out", str(out)]).exit_code


@pytest.mark.usefixtures("platform")
def test_an_export_is_for_its_owners_eyes(tmp_path: Path) -> None:
    out = tmp_path / "dewi.json"
    before = os.umask(0)
    try:
        assert write(PERSON, out) == 0
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o600
    assert json.loads(out.read_text())["services"]["payment"] == {"told": [{"user_id": WHO}]}


@pytest.mark.usefixtures("platform")
def test_a_statement_is_written_as_it_came(tmp_path: Path) -> None:
    assert write(("settlement", "statement", WHO), tmp_path / "november.csv") == 0
    assert (tmp_path / "november.csv").read_bytes() == b"date,amount\r\n"


@pytest.mark.parametrize("document", PLACES, ids=" ".join)
@pytest.mark.usefixtures("platform")
def test_a_document_replaces_nothing_and_follows_no_link(document: tuple[str, ...], tmp_path: Path) -> None:
    there, link, elsewhere = tmp_path / "there", tmp_path / "link", tmp_path / "elsewhere"
    there.write_text("another")
    link.symlink_to(elsewhere)
    assert [write(document, out) for out in (there, link, tmp_path / "no folder" / "dewi.json")] == [2, 2, 2]
    assert there.read_text() == "another"
    assert not elsewhere.exists()


@pytest.mark.parametrize("document", PLACES, ids=" ".join)
def test_a_document_that_is_cut_off_leaves_no_file(
    platform: Platform, document: tuple[str, ...], tmp_path: Path
) -> None:
    platform.is_away_at = PLACES[document]
    assert write(document, tmp_path / "document") == terminal.UNREACHABLE
    assert list(tmp_path.iterdir()) == []
