"""What the auditor is told in a cluster, where passwords are files and metrics are sent away."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from petproctl.audit import command, metrics
from petproctl.audit.databases import CannotLook
from petproctl.audit.run import Report
from petproctl.main import app

REPORT = Report(datetime(2026, 11, 25, tzinfo=UTC), 1.5, (), {"parked sagas": 2})


class Pushgateway(HTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Keeping)
        self.kept: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Keeping(BaseHTTPRequestHandler):
    server: Pushgateway

    def do_PUT(self) -> None:  # the name is http.server's
        self.server.kept[self.path] = self.rfile.read(int(self.headers["content-length"])).decode()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def pushgateway() -> Iterator[Pushgateway]:
    with Pushgateway() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_metrics_are_sent_to_a_pushgateway(pushgateway: Pushgateway) -> None:
    metrics.push(pushgateway.url, REPORT, "changes")
    assert _waiting(pushgateway, "changes") == {("parked_sagas", "changes"): 2}


def test_what_a_run_over_everything_has_found_outlives_those_over_what_changed(pushgateway: Pushgateway) -> None:
    metrics.push(pushgateway.url, REPORT, "everything")
    metrics.push(pushgateway.url, replace(REPORT, waiting={"parked sagas": 0}), "changes")
    assert _waiting(pushgateway, "everything") == {("parked_sagas", "everything"): 2}


def _waiting(pushgateway: Pushgateway, scope: str) -> dict[tuple[str, str], float]:
    text = pushgateway.kept[f"/metrics/job/petpro-audit/scope/{scope}"]
    return {
        (sample.labels["kind"], sample.labels["scope"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "petpro_audit_waiting_for_a_person"
        for sample in family.samples
    }


def test_metrics_that_nobody_takes_are_no_clean_run() -> None:
    with pytest.raises(CannotLook, match="cannot be sent"):
        metrics.push("http://127.0.0.1:9", REPORT, "changes")


def test_one_password_opens_every_database(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("it's secret\n")
    dsns = command._with_password({"booking": "postgresql://petpro_auditor@db/x"}, tmp_path / "password")
    assert conninfo_to_dict(dsns["booking"])["password"] == "it's secret"


def test_a_password_that_is_not_there_is_told(tmp_path: Path) -> None:
    options = ["--password-file", str(tmp_path / "none"), "--dsn", "booking=postgresql://nobody"]
    said = CliRunner().invoke(app, ["audit", *options])
    assert said.exit_code == command.COULD_NOT_LOOK


def test_without_an_administrator_other_lists_are_not_read_and_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as open_things:
        assert command._lists(open_things, Path("nowhere"), "", "", {"gateway_url": "http://petpro-gateway"}) is None
    assert "No administrator is named" in capsys.readouterr().err
