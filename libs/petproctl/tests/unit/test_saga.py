"""`petproctl saga` before it reaches a platform: what it draws, who signs in, and exit codes."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from petproctl import saga_drawing
from petproctl.gateway import SignIn, Unreachable, sign_in_of
from petproctl.main import app

STACK = (
    '{"gateway_url": "http://127.0.0.1:1", "users": {"admin": {"email": "sari@petpro.example", "password": "s3cret"}}}'
)
SAGA = {
    "id": "01980000-0000-7000-8000-000000000001",
    "saga_type": "checkout",
    "status": "parked",
    "step": "pay",
    "version": 4,
    "business_key": "checkout:miko:1",
    "timeline": [
        {"at": "2026-11-23T12:00:00Z", "kind": "started"},
        {"at": "2026-11-23T12:00:00.250Z", "kind": "sent", "step": "pay", "direction": "forward", "attempt": 1},
        {"at": "2026-11-23T12:03:00Z", "kind": "operator", "step": "pay", "detail": "retry by sari: [the bank] called"},
    ],
}


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(milliseconds=12), "12 ms"),
        (timedelta(seconds=3.21), "3.2 s"),
        (timedelta(minutes=4), "4.0 min"),
        (timedelta(hours=5, minutes=6), "5.1 h"),
        (timedelta(days=3), "3.0 d"),
    ],
)
def test_durations_are_written_for_people(length: timedelta, written: str) -> None:
    assert saga_drawing.duration(length) == written


def test_a_timeline_shows_what_took_how_long_and_a_persons_words_as_they_are() -> None:
    console = Console(width=160, record=True, file=StringIO())
    console.print(saga_drawing.whole(SAGA))
    drawn = console.export_text().splitlines()
    assert "parked at pay, version 4" in drawn[1]
    (sent,) = [line for line in drawn if "sent" in line]
    assert "250 ms" in sent
    assert "→ pay" in sent
    (act,) = [line for line in drawn if "retry by sari: [the bank] called" in line]
    assert "3.0 min" in act
    assert "█" * 20 in act


def test_the_administrator_of_a_dev_stack_signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PETPROCTL_PASSWORD", raising=False)
    (tmp_path / "stack.json").write_text(STACK)
    assert sign_in_of(tmp_path, "", "") == SignIn("http://127.0.0.1:1", "sari@petpro.example", "s3cret")
    with pytest.raises(Unreachable, match="belong together"):
        sign_in_of(tmp_path, "https://petpro.example", "budi@petpro.example")
    monkeypatch.setenv("PETPROCTL_PASSWORD", "other")
    wanted = SignIn("https://petpro.example", "budi@petpro.example", "other")
    assert sign_in_of(tmp_path, "https://petpro.example", "budi@petpro.example") == wanted


def test_a_platform_that_is_away_is_exit_code_3(tmp_path: Path) -> None:
    nowhere = CliRunner().invoke(app, ["saga", "--run", str(tmp_path), "list"])
    assert nowhere.exit_code == 3
    assert "No dev stack" in nowhere.stderr
    (tmp_path / "stack.json").write_text(STACK)
    assert CliRunner().invoke(app, ["saga", "--run", str(tmp_path), "list"]).exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--older-than", "soon"],
        ["retry"],
        ["retry", "--reason", "it is late", "--version", "3"],
        ["skip", "--reason", "it is late"],
        ["compensate", "--reason", "it is late", "--status", "running"],
        ["resolve", "some-id", "--reason", "it is late"],
        ["resolve", "--reason", "it is late", "--as", "completed"],
        ["resolve", "some-id", "--reason", "it is late", "--as", "parked"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    assert CliRunner().invoke(app, ["saga", "--run", str(tmp_path), *words]).exit_code == 2
