"""An auditor that stays: it audits again and again, and a scrape is told what the last run found.

A run that could not look leaves what was found before, and `petpro_audit_last_success_timestamp_seconds` grows old.
"""

import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector
from rich.console import Console

from petproctl.audit import metrics
from petproctl.audit.databases import CannotLook
from petproctl.audit.run import Report


class Latest(Collector):
    """The metrics of the last run; none before the first."""

    def __init__(self) -> None:
        self._found = CollectorRegistry()

    def collect(self) -> Iterable[Metric]:
        return self._found.collect()

    def is_now(self, report: Report) -> None:
        self._found = metrics.registry_of(report)


def keep_auditing(once: Callable[[], Report], listen: str, every_seconds: float) -> NoReturn:
    """Audits every so many seconds until the process is ended; serves /metrics on HOST:PORT meanwhile."""
    latest, registry = Latest(), CollectorRegistry()
    registry.register(latest)
    host, _, port = listen.rpartition(":")
    start_http_server(int(port), host, registry)
    console = Console(stderr=True)
    while True:
        try:
            report = once()
            latest.is_now(report)
            console.print(f"{len(report.violations)} violations in {report.seconds:.1f} s", highlight=False)
        except CannotLook as reason:
            console.print(str(reason), markup=False, highlight=False)
        time.sleep(every_seconds)
