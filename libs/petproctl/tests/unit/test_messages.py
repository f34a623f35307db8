"""`petproctl messages` before and beside a platform: what it draws, what it asks, and exit codes."""

import json
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from petproctl import messages_drawing, terminal
from petproctl.gateway import Refused
from petproctl.main import app

MESSAGE = {
    "id": "12",
    "name": "payment:12",
    "message_id": "miko:pay:1",
    "subject": "petpro.commands.payment.take_payment",
    "facts": {"saga_id": "01980000-0000-7000-8000-000000000001", "step": "pay"},
    "payload_bytes": 212,
    "error": "KeyError in take (consumer.py:27)",
    "tries": 12,
    "parked_at": "2026-11-23T12:00:00Z",
    "redrive_count": 1,
    "redrives": [
        {
            "at": "2026-11-23T13:00:00Z",
            "operator": "sari",
            "reason": "[the bank] called",
            "outcome": "REDRIVE_OUTCOME_FAILED",
            "error": "KeyError in take (consumer.py:27)",
        }
    ],
}


class Platform:
    """A gateway that has one message at payment, and remembers what was posted."""

    def __init__(self, outcome: str = "REDRIVE_OUTCOME_HANDLED") -> None:
        self.outcome = outcome
        self.posted: list[tuple[str, dict[str, Any]]] = []

    def pages(self, path: str, name: str, limit: int, **filters: object) -> list[dict[str, Any]]:
        return [MESSAGE] if path.endswith("/payment") and limit else []

    def get(self, path: str) -> dict[str, Any]:
        return {"message": MESSAGE}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        about = {"message": MESSAGE} if path.endswith(":redrive") else {"id": "12", "message_id": "miko:pay:1"}
        return {"results": [{**about, "outcome": self.outcome}]}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    made = Platform()

    @contextmanager
    def signed_in(_: object) -> Any:
        yield made

    monkeypatch.setattr(terminal, "Gateway", signed_in)
    monkeypatch.setattr(terminal, "sign_in_of", lambda *_: None)
    return made


def drawn(what: Any) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(what)
    return console.export_text()


def test_one_message_is_drawn_with_its_envelope_and_a_persons_words_as_they_are() -> None:
    text = drawn(messages_drawing.whole(MESSAGE))
    for said in ("payment:12", "after 12 tries, 212 bytes", "saga_id", "[the bank] called", "failed"):
        assert said in text
    assert "payment:12" in drawn(messages_drawing.table([MESSAGE]))


@pytest.mark.parametrize(("words", "typed", "code"), [([], "n\n", 1), ([], "y\n", 0), (["--yes"], "", 0)])
def test_several_are_redriven_after_a_yes(platform: Platform, words: list[str], typed: str, code: int) -> None:
    redrive = ["messages", "redrive", "--reason", "the bank called", "--json", *words]
    assert CliRunner().invoke(app, redrive, input=typed).exit_code == code
    body = {"id": "12", "reason": "the bank called", "dry_run": False}
    assert platform.posted == ([] if code else [("/v1/operations/messages/payment:redrive", body)])


def test_a_dry_run_asks_nobody_and_says_so(platform: Platform) -> None:
    platform.outcome = "REDRIVE_OUTCOME_FORESEEN"
    said = CliRunner().invoke(app, ["messages", "redrive", "--reason", "why", "--dry-run", "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout)["results"] == [{"name": "payment:12", "outcome": "foreseen", "error": ""}]
    assert platform.posted[0][1]["dry_run"] is True


def test_a_message_that_fails_again_is_exit_code_1(platform: Platform) -> None:
    platform.outcome = "REDRIVE_OUTCOME_FAILED"
    said = CliRunner().invoke(app, ["messages", "redrive", "payment:12", "--reason", "why"])
    assert said.exit_code == 1
    assert "payment:12 failed again: KeyError in take" in said.stdout


@pytest.mark.parametrize("which", [["payment:12"], ["--error", "KeyError"]])
@pytest.mark.parametrize(("words", "typed", "code"), [([], "n\n", 1), ([], "y\n", 0), (["--yes"], "", 0)])
def test_even_one_is_discarded_only_after_a_yes(
    platform: Platform, which: list[str], words: list[str], typed: str, code: int
) -> None:
    platform.outcome = "REDRIVE_OUTCOME_DISCARDED"
    said = CliRunner().invoke(app, ["messages", "discard", *which, "--reason", "noise", *words], input=typed)
    assert said.exit_code == code
    body = {"id": "12", "reason": "noise", "dry_run": False}
    assert platform.posted == ([] if code else [("/v1/operations/messages/payment:discard", body)])
    assert ("payment:12 was discarded" in said.stdout) == (code == 0)


def test_a_discard_that_is_only_foreseen_asks_nobody(platform: Platform) -> None:
    platform.outcome = "REDRIVE_OUTCOME_FORESEEN"
    words = ["messages", "discard", "payment:12", "--reason", "noise", "--dry-run"]
    said = CliRunner().invoke(app, [*words, "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout) == {
        "dry_run": True,
        "results": [{"name": "payment:12", "outcome": "foreseen", "error": ""}],
    }
    assert platform.posted[0][1]["dry_run"] is True
    assert "payment:12 would be discarded" in CliRunner().invoke(app, words).stdout


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("PARKED_MESSAGE_IN_HAND", 1, "payment:12 refused: PARKED_MESSAGE_IN_HAND"),
        ("PARKED_MESSAGE_NOT_FOUND", 0, "payment:12 was redriven or discarded by somebody else meanwhile"),
    ],
)
@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_who_comes_second_is_told(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, verb: str, reason: str, code: int, said: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise Refused(httpx.Response(400, json={"message": "look again", "details": [{"reason": reason}]}))

    monkeypatch.setattr(platform, "post", refuse)
    told = CliRunner().invoke(app, ["messages", verb, "payment:12", "--reason", "why"], input="y\n")
    assert told.exit_code == code
    assert said in told.stdout


def test_what_had_taken_effect_is_told_so(platform: Platform) -> None:
    told = CliRunner().invoke(app, ["messages", "discard", "payment:12", "--reason", "why", "--yes"])
    assert told.exit_code == 0
    assert "payment:12 had been handled already" in told.stdout


def test_the_help_tells_exit_codes() -> None:
    assert "Exit codes: 0 done; 1 refused" in " ".join(CliRunner().invoke(app, ["messages", "--help"]).stdout.split())


def test_a_platform_that_is_away_is_exit_code_3(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["messages", "--run", str(tmp_path), "list"]).exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--older-than", "soon"],
        ["list", "--service", "kennel"],
        ["show", "12"],
        ["show", "kennel:12"],
        ["show", "payment:twelve"],
        ["redrive", "payment:12"],
        ["discard", "payment:12"],
        ["discard", "--reason", "why"],
        ["discard", "--reason", "why", "--older-than", "1d", "--yes"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    assert CliRunner().invoke(app, ["messages", "--run", str(tmp_path), *words]).exit_code == 2
