"""Nobody reaches anybody but whom they have to: the network policies against the settings of the services.

A service that is told another's address (`<other>_address` in its settings class) may call it; nobody else may.
"""

from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devstack.layout import SERVICES
from petpro_common.settings import ServiceSettings
from petproctl import places
from tests.k8s.reach import OUTSIDE, PROMETHEUS, connections, pods, selects
from tests.k8s.rendering import Manifests, containers, labels

pytestmark = pytest.mark.unit

OF_ALL = (
    {("gateway", service, 50051) for service in SERVICES}
    | {(service, "nats", 4222) for service in SERVICES}
    | {(service, "postgres", 5432) for service in SERVICES}
    | {(f"migration-{service}", "postgres", 5432) for service in SERVICES}
    | {("nats", "nats", 6222)}
)
JOBS = {
    *(f"purge-{service}" for service in SERVICES),
    *(f"{name}-booking" for name in ("expiry", "partitions", "reminders", "summary", "zone-rules")),
    "audit",
    "reconciliation",
    "status",
}
OF_JOBS = {(job, "postgres", 5432) for job in JOBS}
ASK_THE_PROVIDER = ("payment", "audit", "reconciliation")
OF_STATUS = {
    ("status", "nats", 4222),
    ("status", "gateway", 8080),
    *(("status", service, 9100) for service in SERVICES),
}
OF_DEV = {
    *((caller, "sandbox", 8080) for caller in ASK_THE_PROVIDER),
    ("sandbox", "gateway", 8080),
    ("notification", "mail", 2525),
}
OF_PRODUCTION = {
    ("postgres", "postgres", 5432),
    ("postgres", "postgres", 8000),  # the operator's own, which answers for each server
    ("postgres-join", "postgres", 5432),
    ("postgres-pooler", "postgres", 5432),
    *((service, "postgres-pooler", 5432) for service in SERVICES),
    *((job, "postgres-pooler", 5432) for job in JOBS),
}
OF_OPERATORS = ("postgres", "postgres-join", "postgres-pooler")
METRICS_OF_PRODUCTION = {("postgres", 9187), ("postgres-pooler", 9127)}


def _calls() -> set[tuple[str, str, int]]:
    """Whom each service calls, by its settings."""
    settings: dict[str, type[ServiceSettings]] = {
        service: import_module(f"petpro_{service}.settings").Settings for service in SERVICES
    }
    return {
        (service, other, 50051)
        for service in SERVICES
        for other in SERVICES
        if f"{other}_address" in settings[service].model_fields
    }


def test_in_dev_everybody_reaches_whom_they_call_and_nobody_else(dev: Manifests) -> None:
    assert connections(dev) == OF_ALL | OF_JOBS | OF_STATUS | OF_DEV | _calls()


def test_in_production_everybody_reaches_whom_they_call_and_nobody_else(production: Manifests) -> None:
    # What the database's pods may say is their operator's affair: they are no callers of ours.
    found = {each for each in connections(production) if each[0] not in OF_OPERATORS or each[1] == "postgres"}
    assert found == OF_ALL | OF_JOBS | OF_STATUS | OF_PRODUCTION | _calls()


def test_a_look_at_the_status_reaches_every_address_that_it_knows(
    dev: Manifests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(places.CONFIG, raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    known = places.platform(tmp_path)
    urls = [known["gateway_url"], known["nats_url"], *(said["metrics"] for said in known["services"].values())]
    assert {("status", *_behind(dev, url)) for url in urls} == OF_STATUS


def test_a_look_at_the_status_finds_replicas_that_are_not_ready(
    rendered: Manifests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(places.CONFIG, raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    for said in places.platform(tmp_path)["services"].values():
        spec = rendered.get("Service", str(urlsplit(said["metrics"]).hostname))["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is True


def _behind(manifests: Manifests, url: str) -> tuple[str, int]:
    """The pods' name and port behind a Service's URL."""
    parts = urlsplit(url)
    spec = manifests.get("Service", str(parts.hostname))["spec"]
    (port,) = [each["targetPort"] for each in spec["ports"] if each["port"] == (parts.port or 80)]
    (workload,) = [each for each in manifests.lasting if spec["selector"].items() <= labels(each).items()]
    (number,) = [
        each["containerPort"]
        for container in containers(workload)
        for each in container.get("ports", [])
        if each["name"] == port
    ]
    return workload["metadata"]["name"].removeprefix("petpro-"), number


def test_others_reach_the_gateway_alone(rendered: Manifests) -> None:
    reached = {each for each in connections(rendered, (OUTSIDE,)) if each[0] == "outside"}
    assert reached == {("outside", "gateway", 8080)}


def test_prometheus_reaches_the_metrics(rendered: Manifests) -> None:
    reached = {each[1:] for each in connections(rendered, (PROMETHEUS,)) if each[0] == "prometheus"}
    wanted = {(service, 9100) for service in SERVICES} | {("gateway", 9102)}
    wanted |= METRICS_OF_PRODUCTION if rendered.name == "production" else set()
    assert wanted <= reached
    # The ports are named together for all of them; these two are open with nobody behind.
    unused = {(service, 9102) for service in SERVICES} | {("gateway", 9100)}
    assert reached - wanted - unused == {("gateway", 8080)}


def test_only_who_asks_the_provider_or_sends_mail_reaches_beyond_the_cluster(production: Manifests) -> None:
    beyond = {
        (pod.name, port["port"])
        for policy in production.of("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        if any("ipBlock" in peer for peer in rule["to"])
        for port in rule["ports"]
        for pod in pods(production)
        if selects(policy["spec"]["podSelector"], pod)
    }
    assert beyond == {*((caller, 443) for caller in ASK_THE_PROVIDER), ("notification", 587)}


def test_everybody_may_ask_for_names(rendered: Manifests) -> None:
    spec = rendered.get("NetworkPolicy", "petpro-dns")["spec"]
    assert spec["podSelector"] == {"matchLabels": {"app.kubernetes.io/part-of": "petpro"}}
    (rule,) = spec["egress"]
    assert {(port["port"], port["protocol"]) for port in rule["ports"]} == {(53, "UDP"), (53, "TCP")}
