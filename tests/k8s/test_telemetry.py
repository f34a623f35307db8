"""What watches PetPro in a cluster finds every pod, and has the alerts and dashboards of the repository."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from deploy.generate import OBSERVABILITY
from devstack.layout import SERVICES
from tests.k8s.reach import pods, selects
from tests.k8s.rendering import Manifest, Manifests, is_dashboard, labels, name_of
from tests.observability.rules import expressions

pytestmark = pytest.mark.unit

COLLECTOR, PUSHGATEWAY = ("otel-collector.monitoring", 4317), ("pushgateway.monitoring", 9091)


def test_every_replica_is_scraped_once_by_the_name_of_its_part(production: Manifests) -> None:
    expected = [(f"petpro-{service}", f"petpro-{service}", 9100) for service in SERVICES]
    assert sorted(_scraped(production)) == sorted([*expected, ("petpro-gateway", "petpro-gateway", 9102)])


def test_every_server_and_pooler_of_the_database_is_scraped_once(production: Manifests) -> None:
    scraped = [
        each.name
        for monitor in production.of("PodMonitor")
        for each in pods(production)
        if selects(monitor["spec"]["selector"], each)
    ]
    assert sorted(scraped) == ["postgres", "postgres-pooler"]
    endpoints = [each for monitor in production.of("PodMonitor") for each in monitor["spec"]["podMetricsEndpoints"]]
    assert {each["port"] for each in endpoints} == {"metrics"}, "as CloudNativePG names 9187 and 9127"


def test_the_rules_know_the_volumes_of_the_database_by_their_names(production: Manifests) -> None:
    (cluster,) = production.of("Cluster")
    known = re.findall(r'persistentvolumeclaim=~"([^"]+)"', "\n".join(expressions()))
    made = [f"{name_of(cluster)}-{number}-wal" for number in range(1, cluster["spec"]["instances"] + 1)]
    assert known
    assert all(re.fullmatch(each, name) for each in known for name in made)


def test_rules_and_dashboards_ask_for_jobs_that_there_are(production: Manifests) -> None:
    asked = set(re.findall(r'job="([^"$]+)"', "\n".join(expressions())))
    assert asked == {f"petpro-{service}" for service in SERVICES}
    assert asked <= {job for job, _, _ in _scraped(production)}


def test_the_alerts_are_those_of_the_repository(production: Manifests) -> None:
    files = sorted((OBSERVABILITY / "rules").glob("*.yaml"))
    written = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    applied = [group for rule in production.of("PrometheusRule") for group in rule["spec"]["groups"]]
    assert applied == written


def test_every_alert_says_how_bad_it_is_and_what_to_read(production: Manifests) -> None:
    alerts = [
        rule
        for each in production.of("PrometheusRule")
        for group in each["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert alert["annotations"]["runbook_url"], alert["alert"]


def test_the_dashboards_are_those_of_the_repository(production: Manifests) -> None:
    applied = {
        name: json.loads(text)
        for each in production.of("ConfigMap")
        if is_dashboard(each)
        for name, text in each["data"].items()
    }
    written = {file.name: json.loads(file.read_text()) for file in (OBSERVABILITY / "dashboards").glob("*.json")}
    assert applied == written


def test_services_and_the_auditor_reach_what_they_report_to(production: Manifests) -> None:
    told = {
        address
        for each in production.of("ConfigMap")
        for name, address in each.get("data", {}).items()
        if name.endswith(("_OTLP_ENDPOINT", "_PUSH_URL"))
    }
    assert told == {f"http://{host}:{port}" for host, port in (COLLECTOR, PUSHGATEWAY)}
    reporting = {
        (caller.name, port["port"])
        for policy in production.of("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if peer.get("namespaceSelector") == {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
        for port in rule["ports"]
        for caller in pods(production)
        if selects(policy["spec"]["podSelector"], caller)
    }
    assert reporting == {
        *((service, COLLECTOR[1]) for service in SERVICES),
        *((auditor, PUSHGATEWAY[1]) for auditor in ("audit", "reconciliation")),
    }


def _selects(selector: Manifest, found: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    return selector["matchLabels"].items() <= found.items() and all(
        each["operator"] == "In" and found.get(each["key"]) in each["values"] for each in expressions
    )


def _scraped(production: Manifests) -> Iterator[tuple[str, str, int]]:
    """As the operator reads the monitors: the job that its series name, the workload, the port."""
    for monitor in production.of("ServiceMonitor"):
        for service in production.of("Service"):
            if _selects(monitor["spec"]["selector"], service["metadata"]["labels"]):
                for job, port in _ports(monitor, service):
                    for workload in production.lasting:
                        if service["spec"]["selector"].items() <= labels(workload).items():
                            yield job, name_of(workload), port


def _ports(monitor: Manifest, service: Manifest) -> Iterator[tuple[str, int]]:
    for endpoint in monitor["spec"]["endpoints"]:
        job = {each["targetLabel"]: each["replacement"] for each in endpoint.get("relabelings", [])}.get("job")
        for port in service["spec"]["ports"]:
            if port["name"] == endpoint["port"]:
                yield job or name_of(service), port["port"]
