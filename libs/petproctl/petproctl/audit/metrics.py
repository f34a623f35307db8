"""What a run found, as Prometheus text: in a file for node_exporter's textfile collector, or sent to a Pushgateway."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest, write_to_textfile

from petproctl.audit.databases import CannotLook
from petproctl.audit.run import Report

Extent = Literal["changes", "everything"]
"""What a run looks at, as the label `scope` says it. Each has metrics of its own: a run over what has changed knows
nothing of what one over everything has found."""


def write(file: Path, report: Report, scope: Extent) -> None:
    """Replaces the file as a whole. A run that could not look leaves it, and its age tells. Raises CannotLook."""
    try:
        write_to_textfile(str(file), _all(report, scope))
    except OSError as fault:
        raise CannotLook(f"The metrics {file} cannot be written: {fault}") from fault


def push(url: str, report: Report, scope: Extent) -> None:
    """Replaces what the Pushgateway at `url` keeps of such runs. Raises CannotLook when it does not take it."""
    group = f"{url}/metrics/job/petpro-audit/scope/{scope}"
    try:
        answer = httpx.put(group, content=generate_latest(_all(report, scope)), timeout=10)
        answer.raise_for_status()
    except httpx.HTTPError as fault:
        raise CannotLook(f"The metrics cannot be sent to {url}: {fault}") from fault


def _all(report: Report, scope: Extent) -> CollectorRegistry:
    registry = CollectorRegistry()
    _of_the_run(registry, report, scope)
    _of_each_invariant(registry, report, scope)
    return registry


def _of_the_run(registry: CollectorRegistry, report: Report, scope: Extent) -> None:
    def tell(name: str, help_: str, value: float) -> None:
        Gauge(f"petpro_audit_{name}", help_, ["scope"], registry=registry).labels(scope).set(value)

    now = datetime.now(UTC).timestamp()
    tell("last_success_timestamp_seconds", "When an audit last ran to its end, whatever it found", now)
    tell("run_duration_seconds", "How long the last audit took, pauses included", report.seconds)
    until = report.until.timestamp()
    tell("looked_until_timestamp_seconds", "All that changed before has been looked at", until)
    says = "What is no violation, and waits for a person"
    waiting = Gauge("petpro_audit_waiting_for_a_person", says, ["kind", "scope"], registry=registry)
    for kind, count in report.waiting.items():
        waiting.labels(kind.replace(" ", "_"), scope).set(count)


def _of_each_invariant(registry: CollectorRegistry, report: Report, scope: Extent) -> None:
    def gauge(name: str, help_: str) -> Gauge:
        return Gauge(f"petpro_audit_{name}", help_, ["invariant", "promise", "scope"], registry=registry)

    violations = gauge("violations", "Subjects of which the invariant does not hold")
    postponed = gauge("postponed", "Subjects to be looked at again, since a saga works on them or the news is fresh")
    rows = gauge("rows", "Rows, and objects of the provider, that the last audit looked at")
    seconds = gauge("duration_seconds", "How long the last audit looked, pauses left out")
    for each in report.outcomes:
        labels = (each.invariant.name, str(each.invariant.number), scope)
        violations.labels(*labels).set(len(each.standing))
        postponed.labels(*labels).set(len(each.tally.postponed))
        rows.labels(*labels).set(each.tally.rows)
        seconds.labels(*labels).set(each.seconds)
