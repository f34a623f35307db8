"""What petproctl finds out without a platform, and how it ends when there is none; help and completion."""

import json
import socket
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from petproctl import partitions, places, status, users
from petproctl.main import app

GROUPS = ("saga", "messages", "users", "dev", "status", "audit", "partitions")


def petproctl(*words: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(words), env={places.CONFIG: None, **environment})


@pytest.mark.parametrize("words", [["status"], ["partitions"], ["users", "list"]])
def test_nothing_known_of_a_platform_is_exit_code_3(tmp_path: Path, words: list[str]) -> None:
    group, *verb = words
    said = petproctl(group, "--run", str(tmp_path), *verb)
    assert said.exit_code == 3
    assert said.stderr


def test_who_stands_outside_of_a_cluster_is_told_how_to_ask_it(tmp_path: Path) -> None:
    said = petproctl("status", "--run", str(tmp_path))
    assert "kubectl -n petpro create job --from=cronjob/petpro-status" in said.stderr


def test_a_platform_that_is_down_is_told_part_by_part_and_is_exit_code_1(tmp_path: Path) -> None:
    config = tmp_path / "platform.json"
    services = {"booking": {"metrics": "http://127.0.0.1:1/metrics"}}
    config.write_text(json.dumps({"gateway_url": "http://127.0.0.1:1", "services": services}))
    said = petproctl("status", "--json", PETPROCTL_CONFIG=str(config))
    assert said.exit_code == 1
    told = json.loads(said.stdout)
    assert {part["part"]: part["is_ready"] for part in told["parts"]} == {"booking": False, "gateway": False}
    assert all(part["says"] for part in told["parts"])


def test_a_server_that_is_stopped_does_not_pass_for_one_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes its connections; nobody speaks."""
    monkeypatch.setattr(status, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        port = stopped.getsockname()[1]
        services = {"booking": {"metrics": "http://127.0.0.1:1/metrics", "dsn": f"postgresql://b@127.0.0.1:{port}/b"}}
        config = tmp_path / "platform.json"
        config.write_text(json.dumps({"nats_url": f"nats://127.0.0.1:{port}", "services": services}))
        said = petproctl("status", "--json", PETPROCTL_CONFIG=str(config))
    told = {part["part"]: (part["is_ready"], part["says"]) for part in json.loads(said.stdout)["parts"]}
    assert told["database"] == told["nats"] == (False, "does not answer")


def test_the_config_goes_before_the_dev_stack_and_that_before_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(places.CONFIG, raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert places.platform(tmp_path)["services"]["booking"]["metrics"] == "http://petpro-replicas-booking:9100/metrics"
    (tmp_path / "stack.json").write_text('{"gateway_url": "http://dev"}')
    assert places.platform(tmp_path)["gateway_url"] == "http://dev"
    monkeypatch.setenv(places.CONFIG, str(tmp_path / "none.json"))
    with pytest.raises(places.Nowhere, match=r"none\.json"):
        places.platform(tmp_path)


@pytest.mark.parametrize(
    ("today", "wanted"),
    [
        (date(2026, 11, 25), ["bookings_2026_q4", "bookings_2027_q1", "slots_2026_11", "slots_2026_12"]),
        (date(2026, 12, 31), ["bookings_2026_q4", "bookings_2027_q1", "slots_2026_12", "slots_2027_01"]),
        (date(2027, 1, 1), ["bookings_2027_q1", "bookings_2027_q2", "slots_2027_01", "slots_2027_02"]),
    ],
)
def test_a_partition_is_wanted_for_this_period_and_the_next(today: date, wanted: list[str]) -> None:
    missing = [name for name in partitions.missing_of([], today) if not name.startswith("reservations")]
    assert missing == wanted
    assert partitions.missing_of(partitions.missing_of([], today), today) == []


def test_addresses_are_covered_up() -> None:
    assert users._covered("dewi@example.com") == "d...@example.com"


def test_who_is_neither_an_id_nor_an_address_is_wrong_usage() -> None:
    assert petproctl("users", "show", "dewi").exit_code == 2


@pytest.mark.parametrize("group", GROUPS)
def test_help_gives_examples_that_name_the_command(group: str) -> None:
    said = petproctl(group, "--help")
    assert said.exit_code == 0
    assert f"petproctl {group}" in " ".join(said.stdout.split("╯")[-1].split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_completion(shell: str) -> None:
    script = CliRunner().invoke(app, [], env={"_PETPROCTL_COMPLETE": f"source_{shell}"}, prog_name="petproctl")
    assert f"complete_{shell}" in script.stdout
