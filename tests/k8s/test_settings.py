"""What pods are told is what the programs in them ask for: the settings and secrets are really loaded."""

import base64
import json
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from deploy.make_secrets import GIVEN, objects
from devstack.layout import ROOT, SERVICES
from petpro_common.auth import ServiceTokens
from petpro_common.settings import ServiceSettings
from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import read_contracts
from petpro_gateway.envoy import Places, configuration
from petpro_gateway.policy import read_policy
from petpro_payment.providers import sandbox as provider
from tests.k8s.rendering import Manifest, Manifests, containers, name_of, pod

pytestmark = pytest.mark.unit

FROM_ELSEWHERE = {"postgres-ca"}
"""Secrets that the operator of the database makes."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_understands_what_it_is_told(
    rendered: Manifests, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _load(rendered, service, tmp_path, monkeypatch)

    server = f"postgresql://petpro_{service}@postgres-rw:5432/petpro_{service}"
    behind_a_pooler = bool(rendered.of("Pooler"))
    expected = server.replace("postgres-rw", "postgres-pooler") if behind_a_pooler else server
    assert (settings.database_url, settings.nats_url) == (expected, "nats://nats:4222")
    assert settings.database_session_url == (server if behind_a_pooler else "")
    assert (settings.grpc_address, settings.metrics_address) == ("0.0.0.0:50051", "0.0.0.0:9100")
    ServiceTokens(service, settings.service_key.get_secret_value())
    assert settings.nats_replicas == rendered.get("StatefulSet", "nats")["spec"]["replicas"]


def test_the_mail_relay_may_want_a_password(
    rendered: Manifests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (given,) = [each for each in _sources(rendered, "notification") if each["name"] in GIVEN]
    assert given["optional"]
    assert "smtp_password" not in _load(rendered, "notification", tmp_path, monkeypatch).model_fields_set
    (item,) = given["items"]
    assert (item["key"],) == GIVEN[given["name"]]
    (tmp_path / item["path"]).write_text("4711")
    loaded = _settings_class("notification").load()
    assert loaded.model_dump()["smtp_password"].get_secret_value() == "4711"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_told_nothing_that_it_does_not_ask_for(rendered: Manifests, service: str) -> None:
    names = _settings_class(service).model_fields.keys() | (
        provider.Settings.model_fields if service == "payment" else {}
    )
    fields = {f"PETPRO_{service}_{name}".upper() for name in names}
    told = rendered.get("ConfigMap", f"petpro-settings-{service}")["data"]
    assert told.keys() - fields == {f"PETPRO_{service}_SECRETS_DIR".upper()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_calls_others_where_they_listen(rendered: Manifests, service: str) -> None:
    told = rendered.get("ConfigMap", f"petpro-settings-{service}")["data"]
    for other in SERVICES:
        address = told.get(f"PETPRO_{service}_{other}_ADDRESS".upper(), f"petpro-{other}:50051")
        assert address == f"petpro-{other}:50051"
        assert rendered.get("Service", f"petpro-{other}")["spec"]["ports"][0]["port"] == 50051


def test_the_broker_is_where_the_document_of_messages_says(rendered: Manifests) -> None:
    told = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())["servers"]["nats"]
    host, _, port = told["host"].format(host=told["variables"]["host"]["default"]).partition(":")
    assert int(port) in [each["port"] for each in rendered.get("Service", host)["spec"]["ports"]]


def test_the_gateway_compiles_with_what_it_is_told(rendered: Manifests) -> None:
    (compiler,) = pod(rendered.get("Deployment", "petpro-gateway"))["initContainers"]
    command, *options = compiler["args"]
    told = [tuple(option.removeprefix("--").split("=", 1)) for option in options]
    assert command == "envoy"
    one = {name: value for name, value in told if name != "upstream"}
    upstreams = dict(value.split("=") for name, value in told if name == "upstream")

    contracts = read_contracts()
    places = Places(
        listen=Address.parse(one["listen"]),
        admin=Address.parse(one["admin"]),
        upstreams={name: Address.parse(address) for name, address in upstreams.items()},
        metrics=Address.parse(one["metrics"]),
    )
    assert configuration(contracts, read_policy(ROOT / "services/gateway/policy.yaml", contracts), places)
    assert upstreams == {service: f"petpro-{service}:50051" for service in SERVICES}
    assert places.admin.host == "127.0.0.1"


def test_the_gateway_refuses_before_its_container_has_no_memory_left(rendered: Manifests) -> None:
    (envoy,) = pod(rendered.get("Deployment", "petpro-gateway"))["containers"]
    taken = int(envoy["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
    policy = read_policy(ROOT / "services/gateway/policy.yaml", read_contracts())
    assert policy.limits.memory_bytes <= taken * 3 / 4


def test_every_secret_that_a_pod_needs_can_be_made(rendered: Manifests) -> None:
    made = {name_of(each): set(each["data"]) for each in objects("petpro") if each["kind"] == "Secret"}
    for name, keys in _asked(rendered).items():
        if name not in FROM_ELSEWHERE:
            assert keys <= made[name], name


def test_no_manifest_and_no_image_arms_a_kill_point() -> None:
    written = [file for file in (ROOT / "deploy").rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert len(written) > 50
    assert [file.name for file in written if b"KILL_AT" in file.read_bytes()] == []


def test_no_secret_is_in_the_manifests(rendered: Manifests) -> None:
    assert not rendered.of("Secret")


def test_roles_of_the_database_have_the_passwords_of_their_services(production: Manifests) -> None:
    (cluster,) = production.of("Cluster")
    made = {name_of(each): each for each in objects("petpro")}
    for role in cluster["spec"]["managed"]["roles"]:
        secret = made[role["passwordSecret"]["name"]]
        assert secret["type"] == "kubernetes.io/basic-auth"
        assert base64.b64decode(secret["data"]["username"]).decode() == role["name"]


def test_services_know_each_other_by_the_keys_that_were_made() -> None:
    made = {name_of(each): each for each in objects("petpro")}
    keys = json.loads(made["petpro-service-keys"]["data"]["service-jwks.json"])["keys"]
    assert {key["kid"] for key in keys} == set(SERVICES)
    assert not [key for key in keys if "d" in key], "a private part"


def _settings_class(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = import_module(f"petpro_{service}.settings").Settings
    return found


def _load(rendered: Manifests, service: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    """The settings as the pod would find them, with its secret files laid into a folder."""
    made = {name_of(each): each for each in objects("petpro")}
    for source in _sources(rendered, service):
        for item in source["items"] if source["name"] in made else ():
            (folder / item["path"]).write_bytes(base64.b64decode(made[source["name"]]["data"][item["key"]]))

    for name, value in rendered.get("ConfigMap", f"petpro-settings-{service}")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(f"PETPRO_{service}_SECRETS_DIR".upper(), str(folder))
    return _settings_class(service).load()


def _sources(rendered: Manifests, service: str) -> list[Manifest]:
    """The Secrets whose keys a service finds as files."""
    volumes = pod(rendered.get("Deployment", f"petpro-{service}"))["volumes"]
    (secrets,) = [volume["projected"]["sources"] for volume in volumes if volume["name"] == "secrets"]
    return [each["secret"] for each in secrets]


def _asked(manifests: Manifests) -> dict[str, set[str]]:
    """Every Secret without which a pod does not start, and the keys that it wants of it."""
    found: dict[str, set[str]] = {}
    for workload in manifests.workloads:
        for volume in pod(workload)["volumes"]:
            for source in _secrets_of(volume):
                name = source.get("name") or source["secretName"]
                found.setdefault(name, set()).update(item["key"] for item in source.get("items", []))
        for variable in (each for container in containers(workload) for each in container.get("env", [])):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                found.setdefault(reference["name"], set()).add(reference["key"])
    return found


def _secrets_of(volume: Manifest) -> list[Manifest]:
    projected = [each["secret"] for each in volume.get("projected", {}).get("sources", [])]
    return [
        *(each for each in projected if not each.get("optional")),
        *([volume["secret"]] if "secret" in volume else []),
    ]
