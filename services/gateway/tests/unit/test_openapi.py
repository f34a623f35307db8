"""The OpenAPI document says what the contracts say."""

from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from petpro_gateway.descriptors import Contracts
from petpro_gateway.openapi import document
from petpro_gateway.policy import Policy, reachable

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def api(contracts: Contracts, policy: Policy) -> dict[str, Any]:
    return document(contracts, policy)


def parameter(operation: dict[str, Any], name: str) -> dict[str, Any]:
    found = next(each for each in operation["parameters"] if each.get("name") == name)
    return dict(found)


def test_it_is_valid(api: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(api).validate()


def test_every_binding_is_there_once(api: dict[str, Any], contracts: Contracts, policy: Policy) -> None:
    routes = [(verb, path) for path, verbs in api["paths"].items() for verb in verbs]
    bindings = [binding for method in reachable(contracts, policy) for binding in method.bindings]
    assert sorted(routes) == sorted((binding.verb.lower(), binding.template) for binding in bindings)
    operations = [api["paths"][path][verb]["operationId"] for verb, path in routes]
    assert len(set(operations)) == len(operations)


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            mine = [value["$ref"]] if "$ref" in value else []
            return mine + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    for reference in set(references(api)):
        place = api
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


def test_what_is_only_told_is_said_to_be(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    user, clinic = schemas["account.User"]["properties"], schemas["catalog.Clinic"]["properties"]
    assert {"id", "email", "role"} <= {name for name, told in user.items() if told.get("readOnly")}
    assert "readOnly" not in user["full_name"]
    assert clinic["status"] == {"$ref": "#/components/schemas/catalog.ClinicStatus", "readOnly": True}
    assert "readOnly" not in clinic["owner_id"], "administrators say it when they apply for somebody"


def test_paths_bodies_and_rules(api: dict[str, Any]) -> None:
    cancel = api["paths"]["/v1/bookings/{booking_id}:cancel"]["post"]
    assert parameter(cancel, "booking_id")["schema"]["format"] == "uuid"
    assert parameter(cancel, "booking_id")["required"]
    body = api["components"]["schemas"]["booking.CancelBookingRequest"]
    assert set(body["properties"]) == {"reason"}
    assert body["properties"]["reason"]["maxLength"] == 500
    sign_up = api["components"]["schemas"]["account.CreateUserRequest"]
    assert {"email", "password", "full_name", "phone_number"} == set(sign_up["required"])
    assert sign_up["properties"]["password"]["minLength"] == 10
    assert sign_up["properties"]["password"]["description"] == "At least 10 characters."


def test_who_makes_a_thing_is_told_what_it_must_have_and_who_edits_it_need_not(api: dict[str, Any]) -> None:
    making = api["components"]["schemas"]["account.CreatePetRequest"]
    asked = jsonschema.Draft202012Validator({**making, "components": api["components"]})
    assert asked.is_valid({"pet": {"name": "Milo", "species": "cat"}})
    for pet in ({}, {"name": "Milo"}, {"name": "", "species": "cat"}):
        assert not asked.is_valid({"pet": pet})
    assert "required" not in api["components"]["schemas"]["account.Pet"]
    clinic = api["components"]["schemas"]["catalog.CreateClinicRequest"]["properties"]["clinic"]["allOf"][1]
    assert {"name", "address", "city", "province", "postal_code", "phone_number", "email"} == set(clinic["required"])


def test_lists_and_maps_say_how_much_they_hold(api: dict[str, Any]) -> None:
    clinic = api["components"]["schemas"]["catalog.Clinic"]["properties"]
    hours, facilities = clinic["operating_hours"], clinic["facilities"]
    assert (hours["maxProperties"], hours["propertyNames"]) == (7, {"maxLength": 20})
    assert hours["additionalProperties"] == {"$ref": "#/components/schemas/catalog.DayHours"}
    assert (facilities["maxItems"], facilities["items"]["maxLength"]) == (50, 100)


def test_queries_and_masks(api: dict[str, Any]) -> None:
    clinics = api["paths"]["/v1/clinics"]["get"]
    assert parameter(clinics, "latitude")["schema"]["minimum"] == -90
    assert parameter(clinics, "page_size")["schema"]["maximum"] == 100
    update = api["paths"]["/v1/pets/{pet_id}"]["patch"]
    assert parameter(update, "update_mask")["schema"]["type"] == "string"
    assert update["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/account.Pet"
    }


def test_the_request_id_is_a_header_and_no_field(api: dict[str, Any], contracts: Contracts, policy: Policy) -> None:
    for method in reachable(contracts, policy):
        has_one = any(field.name == "request_id" for field in contracts.messages[method.request].fields)
        for binding in method.bindings:
            parameters = api["paths"][binding.template][binding.verb.lower()]["parameters"]
            assert ({"$ref": "#/components/parameters/IdempotencyKey"} in parameters) is has_one
    for name, schema in api["components"]["schemas"].items():
        assert "request_id" not in schema.get("properties", {}), name


def test_who_may_call(api: dict[str, Any]) -> None:
    assert api["paths"]["/v1/users/me"]["get"]["security"] == [{"bearer": []}]
    assert api["paths"]["/v1/clinics"]["get"]["security"] == [{}, {"bearer": []}]


def test_enums_are_words_and_long_numbers_are_strings(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    assert "BOOKING_STATUS_CONFIRMED" in schemas["booking.BookingStatus"]["enum"]
    assert schemas["catalog.Clinic"]["properties"]["version"]["type"] == "string"
    assert schemas["catalog.Clinic"]["properties"]["operating_hours"]["additionalProperties"]["$ref"]
    assert schemas["type.Money"]["properties"]["amount"]["examples"] == ["150000.00"]


def test_reasons_are_documented(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    assert "SLOT_FULL" in schemas["booking.Reason"]["enum"]
    assert "No seat is left" in schemas["booking.Reason"]["description"]
    assert "RATE_LIMITED" in schemas["gateway.Reason"]["enum"]


def test_a_webhook_is_raw(api: dict[str, Any]) -> None:
    webhook = api["paths"]["/v1/webhooks/{provider}"]["post"]
    assert list(webhook["requestBody"]["content"]) == ["*/*"]


def test_a_stream_is_events_of_which_each_is_one_thing(api: dict[str, Any]) -> None:
    listen = api["paths"]["/v1/notifications:stream"]["get"]
    answers = listen["responses"]
    schema = {"$ref": "#/components/schemas/notification.StreamNotificationsResponse"}
    assert answers["200"]["content"] == {"text/event-stream": {"schema": schema}}
    assert {"400", "401", "404", "429", "503"} <= answers.keys()
    said = api["components"]["schemas"]["notification.StreamNotificationsResponse"]
    assert said["oneOf"] == [{"required": [name]} for name in ("notification", "heartbeat", "end")]
    assert parameter(listen, "after")["schema"]["format"] == "uuid"
    assert "required" not in parameter(listen, "after")
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            if operation is not listen:
                assert set(operation["responses"]["200"]["content"]) == {"application/json"}, (path, verb)
