"""Each payment provider is a component: payment has its settings and keys, and reaches it."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from deploy.custom_resources import faults, is_custom
from deploy.generate import PROVIDERS
from deploy.make_secrets import GIVEN, given
from petpro_payment.providers.registry import FILES
from petproctl.gateway import PASSWORD
from tests.k8s.reach import connections, pods, selects
from tests.k8s.rendering import K8S, OVERLAYS, Manifest, Manifests, combined, containers, name_of, pod, rendered
from tests.k8s.test_combinations import COMPONENTS, RULES, of_overlay

pytestmark = pytest.mark.unit


SIGN_IN = {"PETPROCTL_GATEWAY", "PETPROCTL_EMAIL", PASSWORD}
TOLD = {"dev": SIGN_IN, "production": SIGN_IN | {"PGSSLMODE", "PGSSLROOTCERT"}}
"""By its environment, the auditor of each overlay."""


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manifests(overlay: str, provider: str) -> Manifests:
    """An overlay with that provider and every component there is."""
    more = sorted(set(COMPONENTS) - of_overlay(overlay))
    folders = [f"../providers/{provider}", f"../providers/{provider}/external-secret"]
    return combined(overlay, *more, *folders)


def test_every_real_provider_is_here() -> None:
    folders = {folder.name for folder in (K8S / "providers").iterdir()} - {"auditor"}
    assert folders == set(PROVIDERS) == FILES.keys() - {"sandbox"}


def test_payment_opens_it_by_what_it_is_told(
    manifests: Manifests, provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for source in _sources(manifests):
        if source["name"] in GIVEN:
            for item in source["items"]:
                (secrets / item["path"]).write_text(item["key"])
    told = manifests.get("ConfigMap", "petpro-settings-payment")["data"]
    for name, value in {**told, "PETPRO_PAYMENT_SECRETS_DIR": str(secrets)}.items():
        monkeypatch.setenv(name, value)

    settings: Any = import_module(FILES[provider]).Settings.load()
    assert told["PETPRO_PAYMENT_PROVIDER"] == provider
    keys = GIVEN[f"petpro-payment-{provider}"]
    assert {key: getattr(settings, f"{provider}_{key}").get_secret_value() for key in keys} == {
        key: key for key in keys
    }


def test_its_keys_come_from_the_store(manifests: Manifests) -> None:
    fetched = {name_of(each): {one["secretKey"] for one in each["spec"]["data"]} for each in _external(manifests)}
    for source in _sources(manifests):
        assert {item["key"] for item in source["items"]} <= fetched[source["name"]]
    assert [fault for each in manifests.objects if is_custom(each) for fault in faults(each)] == []


def test_payment_reaches_it_by_https_alone(manifests: Manifests, provider: str) -> None:
    spec = manifests.get("NetworkPolicy", f"petpro-payment-to-{provider}")["spec"]
    assert [each.name for each in pods(manifests) if selects(spec["podSelector"], each)] == ["payment"]
    (rule,) = spec["egress"]
    assert rule["ports"] == [{"port": 443}]


def test_the_auditor_hears_of_it_at_the_gateway(manifests: Manifests, overlay: str) -> None:
    settings = manifests.get("ConfigMap", "petpro-settings-account")
    for name in ("audit", "reconciliation"):
        told = _told(manifests, name)
        assert told.keys() == TOLD[overlay]
        email = told["PETPROCTL_EMAIL"]["valueFrom"]["configMapKeyRef"]
        assert email["name"] == settings["metadata"]["name"]
        assert "@" in settings["data"][email["key"]]
        assert (name, "gateway", 8080) in connections(manifests)


def test_nothing_is_lost_where_the_overlay_itself_names_it(overlay: str, provider: str, tmp_path: Path) -> None:
    for folder in ("k8s", "observability"):
        copytree(K8S.parent / folder, tmp_path / folder)
    file = tmp_path / "k8s/overlays" / overlay / "kustomization.yaml"
    said = yaml.safe_load(file.read_text())
    said["components"].append(f"../../providers/{provider}")
    file.write_text(yaml.safe_dump(said))
    found = Manifests(overlay, tuple(rendered(file.parent)))
    for name in ("audit", "reconciliation"):
        assert _told(found, name).keys() == TOLD[overlay]


def test_pods_keep_to_the_rules(manifests: Manifests) -> None:
    for rule in RULES:
        rule(manifests)


def test_what_others_give_is_taken_from_files(tmp_path: Path) -> None:
    (tmp_path / "petpro-backups").mkdir()
    for key in GIVEN["petpro-backups"]:
        (tmp_path / "petpro-backups" / key).write_text(f"{key}\n")
    (secret,) = given("petpro", tmp_path)
    assert (secret["metadata"]["name"], secret["data"].keys()) == ("petpro-backups", set(GIVEN["petpro-backups"]))

    (tmp_path / "petpro-backups/access_key_id").unlink()
    with pytest.raises(FileNotFoundError):
        given("petpro", tmp_path)


def test_the_store_of_backups_is_opened_by_the_secret_that_is_given() -> None:
    (store,) = combined("production", "external-secrets").of("ObjectStore")
    credentials = store["spec"]["configuration"]["s3Credentials"].values()
    assert {(each["name"], each["key"]) for each in credentials} == {
        ("petpro-backups", key) for key in GIVEN["petpro-backups"]
    }


def _told(manifests: Manifests, job: str) -> dict[str, Manifest]:
    (container,) = containers(manifests.get("CronJob", f"petpro-{job}"))
    return {each["name"]: each for each in container["env"]}


def _sources(manifests: Manifests) -> Iterator[Manifest]:
    volumes = pod(manifests.get("Deployment", "petpro-payment"))["volumes"]
    (secrets,) = [each["projected"]["sources"] for each in volumes if each["name"] == "secrets"]
    yield from (each["secret"] for each in secrets)


def _external(manifests: Manifests) -> list[Manifest]:
    return manifests.of("ExternalSecret")
