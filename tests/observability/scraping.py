"""A real Prometheus that scrapes a stack with our rules, and is asked what a dashboard asks."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import httpx
import yaml

from deploy.observability.prometheus import program
from devstack.running import RunningStack
from tests.observability.drawing import Line
from tests.observability.rules import rule_files

_READY_SECONDS = 60.0
_WINDOW = "15s"


class Prometheus:
    """Made by `scraping`."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=20)

    def lines(self, query: str, legend: str, job: str, began: float, ended: float) -> list[Line]:
        """What the query gives over that time, each series under its legend. Raises httpx.HTTPError."""
        asked = query.replace("$job", job).replace("$__rate_interval", _WINDOW)
        values: dict[str, str | float] = {"query": asked, "start": began, "end": ended, "step": 1}
        answer = self._client.get("/api/v1/query_range", params=values).raise_for_status().json()
        return [
            Line(_named(legend, series["metric"]), points)
            for series in answer["data"]["result"]
            if (points := [(at - began, float(value)) for at, value in series["values"] if value != "NaN"])
        ]

    def until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if self._client.get("/-/ready").is_success:
                    return
            time.sleep(0.1)
        raise TimeoutError("Prometheus does not get ready")


@contextmanager
def scraping(stack: RunningStack, folder: Path, audit_address: str, port: int) -> Iterator[Prometheus]:
    """Scrapes every second until the block ends."""
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(_config(stack, audit_address)))
    command = [str(program("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    running = subprocess.Popen(command)
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        prometheus.until_ready()
        yield prometheus
    finally:
        running.terminate()
        running.wait()


def _config(stack: RunningStack, audit_address: str) -> Mapping[str, object]:
    said = stack.endpoints
    jobs: list[tuple[str, str, str, dict[str, list[str]]]] = [
        (f"petpro-{name}", urlsplit(service["metrics"]).netloc, "/metrics", {})
        for name, service in said["services"].items()
    ]
    admin = urlsplit(said["gateway"]["admin_url"]).netloc
    jobs.append(("petpro-gateway", admin, "/stats/prometheus", {"usedonly": [""]}))
    jobs.append(("petpro-audit", audit_address, "/metrics", {}))
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
        "rule_files": list(map(str, rule_files())),
        "scrape_configs": [
            {"job_name": job, "metrics_path": path, "params": params, "static_configs": [{"targets": [address]}]}
            for job, address, path, params in jobs
        ],
    }


def _named(legend: str, labels: Mapping[str, str]) -> str:
    short = {name: value.rpartition("/")[2] for name, value in labels.items()}
    return Template(legend.replace("{{", "${").replace("}}", "}")).safe_substitute(short) or json.dumps(short)
