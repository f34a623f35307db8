"""What every pod of PetPro keeps to."""

import re

import pytest

from deploy.make_secrets import objects
from devstack.layout import SERVICES
from petpro_common.saturation import CALLS_IN_HAND
from petpro_common.settings import ServiceSettings
from petpro_notification import settings as notification
from petpro_payment import settings as payment
from petpro_payment.errands import LONGEST_ASKING
from tests.k8s.rendering import K8S, Manifest, Manifests, component, containers, labels, name_of, pod

pytestmark = pytest.mark.unit

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SCALED = ("service", "edge")
"""Components of which there are as many as the work needs."""


def test_no_pod_has_rights_it_does_not_need(anywhere: Manifests) -> None:
    assert anywhere.workloads
    for workload in anywhere.workloads:
        of_pod = pod(workload)["securityContext"]
        assert of_pod["runAsNonRoot"] is True, name_of(workload)
        assert of_pod["runAsUser"] > 0, name_of(workload)
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(workload)
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name_of(workload)


def test_no_pod_can_speak_to_the_api_server(anywhere: Manifests) -> None:
    for workload in anywhere.workloads:
        assert pod(workload)["automountServiceAccountToken"] is False, name_of(workload)
        assert pod(workload)["enableServiceLinks"] is False, name_of(workload)
    for account in anywhere.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False, name_of(account)


def test_no_pod_shares_anything_with_its_node(anywhere: Manifests) -> None:
    for workload in anywhere.workloads:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(workload).keys(), name_of(workload)
        assert not [volume for volume in pod(workload)["volumes"] if "hostPath" in volume], name_of(workload)


def test_every_container_says_what_it_needs(anywhere: Manifests) -> None:
    for workload in anywhere.workloads:
        for container in containers(workload):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name_of(workload)
            assert "memory" in container["resources"]["limits"], name_of(workload)


def test_dev_finds_room_on_a_node_with_two_cpus(dev: Manifests) -> None:
    at_once = [*dev.lasting, *dev.of("Job")]
    millis = sum(
        int(container["resources"]["requests"]["cpu"].removesuffix("m"))
        for workload in at_once
        for container in pod(workload)["containers"]
    )
    # The cluster's own pods ask for 950m on kind, and a CronJob's for 50m.
    assert millis <= 900


def test_everything_that_serves_has_three_probes(anywhere: Manifests) -> None:
    for workload in anywhere.lasting:
        for container in pod(workload)["containers"]:
            assert all(probe in container for probe in PROBES), name_of(workload)


def test_liveness_asks_for_no_dependency(anywhere: Manifests) -> None:
    services = _of(anywhere, "service")
    assert services
    for workload in services:
        (container,) = pod(workload)["containers"]
        asked = {probe: container[probe]["grpc"]["service"] for probe in PROBES}
        assert asked == {"startupProbe": "liveness", "livenessProbe": "liveness", "readinessProbe": "readiness"}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        in_clear_text = ports.get("probes", ports["grpc"])
        assert {container[probe]["grpc"]["port"] for probe in PROBES} == {in_clear_text}, name_of(workload)


def test_one_probe_that_is_late_ends_no_pod(anywhere: Manifests) -> None:
    """A pause of the machine would take all replicas at once."""
    for workload in _of(anywhere, *SCALED):
        for container in pod(workload)["containers"]:
            probe = container["livenessProbe"]
            assert probe.get("failureThreshold", 3) >= 3, name_of(workload)
            assert probe.get("timeoutSeconds", 1) >= 2, name_of(workload)


def test_a_new_version_takes_nothing_away_before_it_is_ready(anywhere: Manifests) -> None:
    for workload in _of(anywhere, *SCALED):
        strategy = workload["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate", name_of(workload)
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0, name_of(workload)


def test_replicas_spread_over_zones_and_nodes(anywhere: Manifests) -> None:
    for workload in _of(anywhere, *SCALED, "broker"):
        constraints = pod(workload)["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in constraints] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        selector = workload["spec"]["selector"]["matchLabels"]
        assert all(each["labelSelector"]["matchLabels"] == selector for each in constraints), name_of(workload)


def test_the_number_of_replicas_is_left_to_the_autoscaler(anywhere: Manifests) -> None:
    assert not [name_of(workload) for workload in _of(anywhere, *SCALED) if "replicas" in workload["spec"]]


def test_a_service_has_time_to_stop(anywhere: Manifests) -> None:
    stop = ServiceSettings.model_fields["stop_seconds"].default
    for workload in _of(anywhere, "service"):
        (container,) = pod(workload)["containers"]
        notice = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        # The gateway asks DNS every five seconds, and cluster DNS may keep its answer for as long.
        assert notice >= 10
        assert pod(workload)["terminationGracePeriodSeconds"] > notice + stop + 10, name_of(workload)


def test_what_workers_ask_of_others_has_time_to_end() -> None:
    """After the calls and messages in hand, which hand work over; then answers are written down, for seconds."""
    defaults = {name: field.default for name, field in ServiceSettings.model_fields.items()}
    longest = {
        "delivery": notification.Settings.model_fields["delivery_try_seconds"].default,
        "provider": payment.Settings.model_fields["lease_seconds"].default * LONGEST_ASKING,
    }
    assert defaults["drain_seconds"] + max(longest.values()) + 5 <= defaults["stop_seconds"], longest


def test_the_gateway_has_time_to_drain(anywhere: Manifests) -> None:
    script = (K8S / "base/gateway/drain.sh").read_text()
    notice, calls = (int(found) for found in re.findall(r"_SECONDS:-(\d+)\}", script))
    for workload in _of(anywhere, "edge"):
        assert pod(workload)["terminationGracePeriodSeconds"] > notice + calls + 10
        (envoy,) = pod(workload)["containers"]
        assert calls > int(envoy["args"][-1]), "Envoy is still asking clients to leave"


def test_every_service_and_the_gateway_may_lose_one_pod_at_a_time(rendered: Manifests) -> None:
    for workload in _of(rendered, *SCALED, "broker"):
        (budget,) = [
            each for each in rendered.of("PodDisruptionBudget") if _selects(each["spec"]["selector"], workload)
        ]
        assert budget["spec"]["maxUnavailable"] == 1, name_of(workload)


def test_callers_see_every_replica_of_a_service(rendered: Manifests) -> None:
    for service in SERVICES:
        spec = rendered.get("Service", f"petpro-{service}")["spec"]
        assert spec["clusterIP"] == "None"
        selected = [each for each in rendered.workloads if spec["selector"].items() <= labels(each).items()]
        assert [name_of(each) for each in selected] == [f"petpro-{service}"], "and never the pods of its migrations"


def test_migrations_are_jobs_that_end(rendered: Manifests) -> None:
    assert {name_of(job) for job in rendered.of("Job")} == {f"petpro-migration-{service}" for service in SERVICES}
    for job in rendered.of("Job"):
        (container,) = pod(job)["containers"]
        assert container["command"] == ["migrate"]
        assert job["spec"]["activeDeadlineSeconds"] > 0
        # A pod that has failed stays with its log; one that is started again in place goes with the Job's end.
        assert pod(job)["restartPolicy"] == "Never"


def test_a_migration_runs_the_image_and_the_settings_of_its_service(rendered: Manifests) -> None:
    for service in SERVICES:
        (serving,) = pod(rendered.get("Deployment", f"petpro-{service}"))["containers"]
        (migrating,) = pod(rendered.get("Job", f"petpro-migration-{service}"))["containers"]
        assert migrating["image"] == serving["image"]
        assert migrating["envFrom"] == serving["envFrom"]
        # It calls no other service, so it needs no certificate.
        assert migrating["volumeMounts"] == [each for each in serving["volumeMounts"] if each["name"] != "tls"]


def test_a_change_of_settings_makes_new_pods(rendered: Manifests) -> None:
    generated = {
        name_of(found)
        for found in rendered.of("ConfigMap")
        if "grafana_dashboard" not in found["metadata"].get("labels", {})
    }
    assert all(re.search(r"-[a-z0-9]{10}$", name) for name in generated)
    made_beside = {name_of(found) for found in objects("petpro") if found["kind"] == "ConfigMap"}
    assert _config_maps(rendered) == generated | made_beside


def test_every_object_says_what_it_belongs_to(rendered: Manifests) -> None:
    for workload in rendered.workloads:
        found = labels(workload)
        assert found["app.kubernetes.io/part-of"] == "petpro", name_of(workload)
        assert found["app.kubernetes.io/managed-by"] == "kustomize", name_of(workload)
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= found.keys(), name_of(workload)


def test_the_namespace_refuses_pods_with_more_rights(rendered: Manifests) -> None:
    (namespace,) = rendered.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_image_is_whatever_is_newest(rendered: Manifests) -> None:
    images = [container["image"] for workload in rendered.workloads for container in containers(workload)]
    assert not [image for image in images if ":" not in image.rpartition("/")[2] or image.endswith(":latest")]


def test_production_names_images_by_digest(production: Manifests) -> None:
    images = [container["image"] for workload in production.workloads for container in containers(workload)]
    assert not [image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image)]


def test_production_grows_with_the_work(production: Manifests) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in production.of("HorizontalPodAutoscaler")}
    assert scaled.keys() == {name_of(workload) for workload in _of(production, *SCALED)}
    assert all(each["minReplicas"] >= 2 for each in scaled.values())
    (of_services,) = CALLS_IN_HAND.describe()
    for name, spec in scaled.items():
        by = [metric.get("resource", metric.get("pods", {}).get("metric"))["name"] for metric in spec["metrics"]]
        in_hand = "envoy_cluster_upstream_rq_active" if name == "petpro-gateway" else of_services.name
        assert by == ["cpu", in_hand], name
        assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300, name


def _of(manifests: Manifests, *components: str) -> list[Manifest]:
    return [workload for workload in manifests.lasting if component(workload) in components]


def _selects(selector: Manifest, workload: Manifest) -> bool:
    return bool(selector["matchLabels"].items() <= labels(workload).items())


def _config_maps(manifests: Manifests) -> set[str]:
    """The names of all ConfigMaps that pods ask for."""
    found = set()
    for workload in manifests.workloads:
        found |= {volume["configMap"]["name"] for volume in pod(workload)["volumes"] if "configMap" in volume}
        sources = [source for container in containers(workload) for source in container.get("envFrom", [])]
        found |= {source["configMapRef"]["name"] for source in sources}
    return found
