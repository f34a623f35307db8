"""What a run found, as Prometheus text: in a file for node_exporter's textfile collector, or sent to a Pushgateway."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest, write_to_textfile

from petproctl.audit.databases import CannotLook
from petproctl.audit.run import Report


def write(file: Path, report: Report) -> None:
    """Replaces the file as a whole. A run that could not look leaves it, and its age tells. Raises CannotLook."""
    try:
        write_to_textfile(str(file), _all(report))
    except OSError as fault:
        raise CannotLook(f"The metrics {file} cannot be written: {fault}") from fault


def push(url: str, report: Report) -> None:
    """Replaces what the Pushgateway at `url` keeps of the auditor. Raises CannotLook when it does not take it."""
    try:
        answer = httpx.put(f"{url}/metrics/job/petpro-audit", content=generate_latest(_all(report)), timeout=10)
        answer.raise_for_status()
    except httpx.HTTPError as fault:
        raise CannotLook(f"The metrics cannot be sent to {url}: {fault}") from fault


def _all(report: Report) -> CollectorRegistry:
    registry = CollectorRegistry()
    _of_the_run(registry, report)
    _of_each_invariant(registry, report)
    return registry


def _of_the_run(registry: CollectorRegistry, report: Report) -> None:
    def gauge(name: str, help_: str) -> Gauge:
        return Gauge(f"petpro_audit_{name}", help_, registry=registry)

    ended = gauge("last_success_timestamp_seconds", "When an audit last ran to its end, whatever it found")
    ended.set(datetime.now(UTC).timestamp())
    gauge("run_duration_seconds", "How long the last audit took, pauses included").set(report.seconds)
    until = gauge("looked_until_timestamp_seconds", "All that changed before has been looked at")
    until.set(report.until.timestamp())
    waiting = Gauge(
        "petpro_audit_waiting_for_a_person", "What is no violation, and waits for a person", ["kind"], registry=registry
    )
    for kind, count in report.waiting.items():
        waiting.labels(kind.replace(" ", "_")).set(count)


def _of_each_invariant(registry: CollectorRegistry, report: Report) -> None:
    def gauge(name: str, help_: str) -> Gauge:
        return Gauge(f"petpro_audit_{name}", help_, ["invariant", "promise"], registry=registry)

    violations = gauge("violations", "Subjects of which the invariant does not hold")
    postponed = gauge("postponed", "Subjects to be looked at again, since a saga works on them or the news is fresh")
    rows = gauge("rows", "Rows, and objects of the provider, that the last audit looked at")
    seconds = gauge("duration_seconds", "How long the last audit looked, pauses left out")
    for each in report.outcomes:
        labels = (each.invariant.name, str(each.invariant.number))
        violations.labels(*labels).set(len(each.standing))
        postponed.labels(*labels).set(len(each.tally.postponed))
        rows.labels(*labels).set(each.tally.rows)
        seconds.labels(*labels).set(each.seconds)
