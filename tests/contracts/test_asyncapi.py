"""The published document of messages is well-formed, and says neither more nor less than the services publish."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from petpro_common.messaging.events import Event
from petpro_notification.messages import TELLING
from tests.contracts.published import command_subjects, event_types, saga_types

pytestmark = pytest.mark.unit

FILE = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
REFERENCE = {"type": "object", "required": ["$ref"], "additionalProperties": False, "properties": {"$ref": {}}}
EVENT_PREFIX = "petpro.events."

# The parts of AsyncAPI 3.0 that the document uses.
SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "id": {"type": "string", "format": "uri"},
        "info": {"required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "servers": {"additionalProperties": {"required": ["host", "protocol"]}},
        "channels": {
            "additionalProperties": {
                "required": ["address", "messages"],
                "properties": {"address": {"type": "string"}, "messages": {"additionalProperties": REFERENCE}},
            }
        },
        "operations": {
            "additionalProperties": {
                "required": ["action", "channel"],
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "items": REFERENCE},
                },
            }
        },
        "components": {
            "required": ["messages", "schemas"],
            "properties": {"messages": {"additionalProperties": {"required": ["name", "title", "payload"]}}},
        },
    },
    "additionalProperties": False,
}

# The domain document's own events: these fields, whatever is added.
BINDING = {
    "reservation.created": "reservation_id user_id pet_id service_id slot_id expires_at",
    "reservation.expired": "reservation_id user_id service_id slot_id",
    "booking.confirmed": "booking_id reference_code user_id pet_id clinic_id service_id slot_date slot_time amount",
    "booking.cancelled": "booking_id user_id clinic_id cancellation_reason refund_amount refund_status",
    "booking.completed": "booking_id user_id clinic_id service_id completed_at",
}


def addresses(prefix: str) -> set[str]:
    return {channel["address"] for channel in DOCUMENT["channels"].values() if channel["address"].startswith(prefix)}


@cache
def message(event_type: str) -> dict[str, Any]:
    (found,) = [one for one in DOCUMENT["components"]["messages"].values() if one["name"] == event_type]
    return dict(found)


def validator(event_type: str) -> Draft7Validator:
    """Holds a payload against the document; references are looked up in its components."""
    payload = {**message(event_type)["payload"], "components": DOCUMENT["components"]}
    return Draft7Validator(payload, format_checker=Draft7Validator.FORMAT_CHECKER)


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


def titles(operation: dict[str, Any]) -> list[str]:
    keys = [reference["$ref"].rpartition("/")[2] for reference in operation["messages"]]
    return [DOCUMENT["components"]["messages"][key]["title"] for key in keys]


def is_there(reference: str) -> bool:
    if not reference.startswith("#/"):
        return (FILE.parent / reference).is_file()
    part: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        part = part.get(name) if isinstance(part, dict) else None
    return part is not None


def test_it_has_the_shape_of_asyncapi_3() -> None:
    faults = [f"{fault.json_path}: {fault.message}" for fault in Draft7Validator(SHAPE).iter_errors(DOCUMENT)]
    assert faults == []


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 100
    assert [reference for reference in found if not is_there(reference)] == []


def test_every_event_that_a_service_publishes_is_documented_and_no_other() -> None:
    assert {address.removeprefix(EVENT_PREFIX) for address in addresses(EVENT_PREFIX)} == event_types()


def test_every_order_of_a_saga_is_documented_and_no_other() -> None:
    assert addresses("petpro.commands.") == command_subjects()


def test_the_replies_are_those_of_the_sagas() -> None:
    replies = DOCUMENT["channels"]["sagaReplies"]
    assert set(replies["parameters"]["sagaType"]["enum"]) == saga_types()


@pytest.mark.parametrize("event_type", sorted(event_types()))
def test_an_events_address_name_and_example_agree(event_type: str) -> None:
    (channel,) = [one for one in DOCUMENT["channels"].values() if one["address"] == f"{EVENT_PREFIX}{event_type}"]
    (key,) = channel["messages"]
    assert DOCUMENT["components"]["messages"][key] == message(event_type)
    Draft7Validator.check_schema(message(event_type)["payload"])
    example: Event = message(event_type)["examples"][0]["payload"]
    assert [fault.message for fault in validator(event_type).iter_errors(example)] == []
    assert list(validator(event_type).iter_errors({**example, "event_type": "another"})) != []


def test_an_operation_is_summed_up_by_the_title_of_what_it_sends() -> None:
    operations = [one for one in DOCUMENT["operations"].values() if "messages" in one]
    assert len(operations) > 20
    said = [(one["summary"], title) for one in operations for title in titles(one)]
    assert [(summary, title) for summary, title in said if not title.startswith(summary)] == []


@pytest.mark.parametrize("event_type", BINDING)
def test_the_domain_documents_events_have_its_fields(event_type: str) -> None:
    assert {"event_type", *BINDING[event_type].split()} <= set(message(event_type)["payload"]["required"])


@pytest.mark.parametrize("event_type", TELLING)
def test_what_notification_needs_of_an_event_is_promised(event_type: str) -> None:
    _, needed = TELLING[event_type]
    assert {"user_id", *needed} <= set(message(event_type)["payload"]["required"])
