"""`petproctl users export` beside a platform: the file that it writes, and what is left when it cannot."""

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


class Platform:
    """A gateway that holds one row of a person in each service, until it is away."""

    is_away_at = ""

    def pages(self, path: str, name: str, limit: int, **filters: object) -> list[dict[str, Any]]:
        if self.is_away_at and path.endswith(self.is_away_at):
            raise Unreachable("it does not answer")
        return [{"table": "told", "values": filters}]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    made = Platform()

    @contextmanager
    def signed_in(_: object) -> Iterator[Platform]:
        yield made

    monkeypatch.setattr(terminal, "Gateway", signed_in)
    monkeypatch.setattr(terminal, "sign_in_of", lambda *_: None)
    return made


def export(output: Path) -> int:
    return CliRunner().invoke(app, ["users", "export", WHO, "--output", str(output)]).exit_code


@pytest.mark.usefixtures("platform")
def test_an_export_is_for_its_owners_eyes(tmp_path: Path) -> None:
    output = tmp_path / "dewi.json"
    before = os.umask(0)
    try:
        assert export(output) == 0
    finally:
        os.umask(before)
    assert output.stat().st_mode & 0o777 == 0o600
    assert json.loads(output.read_text())["services"]["payment"] == {"told": [{"user_id": WHO}]}


@pytest.mark.usefixtures("platform")
def test_an_export_replaces_nothing_and_follows_no_link(tmp_path: Path) -> None:
    there, link, elsewhere = tmp_path / "there", tmp_path / "link", tmp_path / "elsewhere"
    there.write_text("another")
    link.symlink_to(elsewhere)
    assert [export(output) for output in (there, link, tmp_path / "no folder" / "dewi.json")] == [2, 2, 2]
    assert there.read_text() == "another"
    assert not elsewhere.exists()


def test_an_export_that_is_cut_off_leaves_no_file(platform: Platform, tmp_path: Path) -> None:
    platform.is_away_at = "/notification"
    assert export(tmp_path / "dewi.json") == terminal.UNREACHABLE
    assert list(tmp_path.iterdir()) == []
