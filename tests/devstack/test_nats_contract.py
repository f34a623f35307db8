"""What a service may publish is what the AsyncAPI document says that it sends: all of it, and nothing else."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from devstack.layout import ROOT, SERVICES
from devstack.nats_access import may_publish

pytestmark = pytest.mark.unit

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())


def sent() -> list[tuple[str, str]]:
    """Every sender with an address on which it publishes; a parameter stands for any word."""
    operations = [operation for operation in DOCUMENT["operations"].values() if operation["action"] == "send"]
    return [(operation["tags"][0]["name"], address_of(operation["channel"]["$ref"])) for operation in operations]


def address_of(reference: str) -> str:
    channel = DOCUMENT["channels"][reference.removeprefix("#/channels/")]
    return str(channel["address"]).replace("{sagaType}", "booking_cancellation")


def is_allowed(service: str, subject: str) -> bool:
    return any(fnmatchcase(subject, pattern.replace(">", "*")) for pattern in may_publish(service))


@pytest.mark.parametrize(("sender", "address"), sent())
def test_only_its_sender_may_publish_what_the_contract_names(sender: str, address: str) -> None:
    assert [service for service in SERVICES if is_allowed(service, address)] == [sender]


def test_who_answers_is_known_by_their_being_the_only_one() -> None:
    """The subject of a reply does not name who says it: of two, each could answer what the other was asked."""
    assert [service for service in SERVICES if is_allowed(service, "petpro.replies.checkout")] == ["payment"]


def test_no_right_is_left_over() -> None:
    addresses = {sender: [address for who, address in sent() if who == sender] for sender in SERVICES}
    unused = [
        (service, subject)
        for service in SERVICES
        for subject in may_publish(service)
        if subject.startswith("petpro.")
        and not any(fnmatchcase(address, subject.replace(">", "*")) for address in addresses[service])
    ]
    assert unused == []
