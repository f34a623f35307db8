"""Each sender beside mail is a component: notification has its settings and keys, and reaches it."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.custom_resources import faults, is_custom
from deploy.generate import SENDERS
from deploy.make_secrets import GIVEN
from petpro_notification.senders.registry import FILES
from petpro_notification.settings import Settings
from tests.k8s.reach import pods, selects
from tests.k8s.rendering import K8S, OVERLAYS, Manifest, Manifests, combined, name_of, pod
from tests.k8s.test_combinations import COMPONENTS, RULES, of_overlay

pytestmark = pytest.mark.unit

SETTINGS = {"twilio": "TwilioSettings", "fcm": "FcmSettings", "web-push": "WebPushSettings"}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manifests(overlay: str) -> Manifests:
    """An overlay with all senders and every component there is."""
    folders = [f"../senders/{sender}{more}" for sender in SENDERS for more in ("", "/external-secret")]
    return combined(overlay, *sorted(set(COMPONENTS) - of_overlay(overlay)), *folders)


def name_of_settings(sender: str) -> str:
    return sender.replace("-", "_")


def settings_of(sender: str) -> Any:
    """The class of the settings that it reads itself."""
    return getattr(import_module(FILES[name_of_settings(sender)]), SETTINGS[sender])


def test_every_sender_is_here() -> None:
    folders = {folder.name for folder in (K8S / "senders").iterdir()}
    assert folders == set(SENDERS) == SETTINGS.keys()
    assert {name_of_settings(sender) for sender in SENDERS} == FILES.keys()


@pytest.mark.parametrize("sender", SENDERS)
def test_notification_opens_it_by_what_it_is_told(
    manifests: Manifests, sender: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {item["path"]: item["key"] for source in _given(manifests) for item in source["items"]}
    for path, key in keys.items():
        (tmp_path / path).write_text(key)
    told = manifests.get("ConfigMap", "petpro-settings-notification")["data"]
    for name, value in {**told, "PETPRO_NOTIFICATION_SECRETS_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    settings = settings_of(sender).load()
    for key in GIVEN[f"petpro-notification-{sender}"]:
        assert getattr(settings, f"{name_of_settings(sender)}_{key}").get_secret_value() == key


def test_what_is_configured_is_sent_by(manifests: Manifests) -> None:
    told = manifests.get("ConfigMap", "petpro-settings-notification")["data"]
    assert (told["PETPRO_NOTIFICATION_SMS"], told["PETPRO_NOTIFICATION_FCM"]) == ("twilio", "true")
    assert told["PETPRO_NOTIFICATION_WEB_PUSH"] == "true"


def test_it_is_told_nothing_that_it_does_not_ask_for(manifests: Manifests) -> None:
    classes = (Settings, *map(settings_of, SENDERS))
    fields = {f"PETPRO_NOTIFICATION_{name}".upper() for each in classes for name in each.model_fields}
    told = manifests.get("ConfigMap", "petpro-settings-notification")["data"]
    assert told.keys() - fields == {"PETPRO_NOTIFICATION_SECRETS_DIR"}


def test_its_keys_come_from_the_store(manifests: Manifests) -> None:
    fetched = {name_of(each): {one["secretKey"] for one in each["spec"]["data"]} for each in _external(manifests)}
    for source in _given(manifests):
        assert {item["key"] for item in source["items"]} == fetched[source["name"]] == set(GIVEN[source["name"]])
    assert [fault for each in manifests.objects if is_custom(each) for fault in faults(each)] == []


@pytest.mark.parametrize("sender", SENDERS)
def test_notification_reaches_it_by_https_alone(manifests: Manifests, sender: str) -> None:
    spec = manifests.get("NetworkPolicy", f"petpro-notification-to-{sender}")["spec"]
    assert [each.name for each in pods(manifests) if selects(spec["podSelector"], each)] == ["notification"]
    (rule,) = spec["egress"]
    assert rule["ports"] == [{"port": 443}]


def test_pods_keep_to_the_rules(manifests: Manifests) -> None:
    for rule in RULES:
        rule(manifests)


def _given(manifests: Manifests) -> Iterator[Manifest]:
    """The Secrets that others give the keys of, as notification mounts them."""
    volumes = pod(manifests.get("Deployment", "petpro-notification"))["volumes"]
    (secrets,) = [each["projected"]["sources"] for each in volumes if each["name"] == "secrets"]
    yield from (each["secret"] for each in secrets if each["secret"]["name"] in GIVEN)


def _external(manifests: Manifests) -> list[Manifest]:
    return manifests.of("ExternalSecret")
