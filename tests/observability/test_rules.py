"""Alerts, runbooks and dashboards fit together, and promtool says that each alert fires when it must."""

import re
import subprocess

import pytest
import yaml

from deploy.observability import __main__ as generator
from deploy.observability.prometheus import NotToBeHad, program
from libs.petproctl.tests.unit.documented import commands_to_type, take
from tests.observability.rules import (
    FOLDER,
    RUNBOOKS,
    alerts,
    dashboards,
    metrics_behind,
    metrics_drawn,
    rule_files,
)

OF_OTHERS = re.compile(r"\b(kube|kubelet|cnpg|barman_cloud)_")
"""The cluster's and the operator's own metrics, which have dashboards of theirs."""
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        tool = program("promtool")
    except NotToBeHad as reason:
        pytest.skip(f"alerts are not tried: {reason}")
    return subprocess.run([tool, *words], capture_output=True, text=True, check=False)


def test_what_is_generated_is_up_to_date() -> None:
    assert generator.main(["--check"]) == 0


def test_rules_are_valid() -> None:
    said = promtool("check", "rules", *map(str, rule_files()))
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_must_and_only_then(file: object) -> None:
    said = promtool("test", "rules", str(file))
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_is_tried_by_promtool_firing_and_silent() -> None:
    tried = [rule for file in TESTS for test in yaml.safe_load(file.read_text())["tests"] for rule in _tries(test)]
    names = {alert.name for alert in alerts()}
    assert {name for name, fires in tried if fires} == names
    # Of calls and messages the silent one is another service beside the one that fires.
    assert names - {name for name, fires in tried if not fires} == {"PetProCallsFail", "PetProMessagesLate"}


def _tries(test: dict[str, object]) -> list[tuple[str, bool]]:
    rules: list[dict[str, object]] = test.get("alert_rule_test", [])  # type: ignore[assignment]
    told = re.findall(r'alertname="(\w+)"', str(test.get("promql_expr_test", "")))
    return [(str(rule["alertname"]), bool(rule["exp_alerts"])) for rule in rules] + [(name, True) for name in told]


def test_each_alert_watches_metrics_that_a_dashboard_shows_too() -> None:
    drawn = metrics_drawn()
    for alert in alerts():
        watched = metrics_behind(alert.expression)
        assert watched or OF_OTHERS.search(alert.expression), alert.name
        assert watched <= drawn, f"{alert.name}: {watched - drawn}"


# What an operator looks for, and by which metric it is told.
TO_BE_SEEN = {
    "rate and errors by method": "petpro_rpc_seconds_count",
    "duration by method": "petpro_rpc_seconds_bucket",
    "connections of the pool": "petpro_db_connections",
    "who waits for the pool": "petpro_db_waiting",
    "how late the event loop is": "petpro_event_loop_lag_seconds_bucket",
    "age of the outbox": "petpro_outbox_oldest_seconds",
    "depth of the outbox": "petpro_outbox_unpublished",
    "how far consumers are behind": "petpro_consumer_pending_messages",
    "sagas by status and step": "petpro_sagas",
    "the oldest saga of each": "petpro_sagas_oldest_seconds",
    "the oldest parked message": "petpro_parked_messages_oldest_seconds",
    "age of the queue of refunds": "petpro_payment_waiting_oldest_seconds",
    "partitions ahead": "petpro_partitions_ahead",
    "violations": "petpro_audit_violations",
    "mails given up": "petpro_deliveries_total",
}


@pytest.mark.parametrize(("what", "metric"), TO_BE_SEEN.items())
def test_what_an_operator_looks_for_is_on_a_dashboard(what: str, metric: str) -> None:
    assert metric in metrics_drawn(), what


def test_each_alert_has_a_severity_a_summary_and_a_runbook_of_its_own() -> None:
    for alert in alerts():
        assert alert.severity in ("page", "ticket"), alert.name
        assert len(alert.summary) > 20, alert.name
        assert alert.runbook.endswith(f"/docs/runbooks/{alert.name}.md")
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == {alert.name for alert in alerts()}


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_a_runbook_says_what_to_look_at_and_what_to_do_by_commands_that_there_are(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Look",
        "## Do",
        "## It is over when",
    ]
    commands = commands_to_type(RUNBOOKS / f"{name}.md")
    assert commands, "it names no petproctl verb"
    for command in commands:
        take(command, is_whole=True)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (RUNBOOKS / link).exists(), link


def test_dashboards_are_what_grafana_imports() -> None:
    assert dashboards().keys() == {"overview", "service", "sagas", "money", "messaging"}
    for name, board in dashboards().items():
        assert board["uid"] == f"petpro-{name}"
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(set(places)) == len(places) >= 6
        assert all(panel["targets"] and panel["title"] for panel in board["panels"])
        uses_job = any("$job" in target["expr"] for panel in board["panels"] for target in panel["targets"])
        assert uses_job == ("job" in {variable["name"] for variable in board["templating"]["list"]})
