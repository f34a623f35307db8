"""Secrets from a store outside of the cluster are those that would be made by hand."""

import pytest
import yaml

from deploy.make_secrets import GIVEN, objects
from tests.k8s.rendering import K8S, name_of

pytestmark = pytest.mark.unit


def test_every_secret_can_come_from_the_store() -> None:
    text = (K8S / "components/external-secrets/secrets.yaml").read_text()
    fetched = {name_of(each): each["spec"] for each in yaml.safe_load_all(text)}
    made = {name_of(each): each for each in objects("petpro") if each["kind"] == "Secret"}
    for name in ("petpro-backups", "petpro-notification-smtp"):
        assert {each["secretKey"] for each in fetched.pop(name)["data"]} == set(GIVEN[name])
    assert fetched.keys() == made.keys()
    for name, spec in fetched.items():
        assert spec["target"]["name"] == name
        assert spec["target"]["template"]["type"] == made[name]["type"]
        assert spec["target"]["template"]["metadata"]["labels"] == made[name]["metadata"]["labels"]
        assert {each["secretKey"] for each in spec["data"]} == set(made[name]["data"])
        assert all(each["remoteRef"] == {"key": name, "property": each["secretKey"]} for each in spec["data"])
