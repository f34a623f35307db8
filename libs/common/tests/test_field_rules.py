"""Requests held against the rules of their contracts, and how long that may take."""

import time
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from petpro.account.v1 import account_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro.payment.v1 import payment_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common import errors, field_rules

pytestmark = pytest.mark.unit

MANY = 300_000
"""Of the smallest entries, which a message of a mebibyte holds."""


def violations(request: Message) -> dict[str, str]:
    with pytest.raises(errors.InvalidRequest) as refused:
        field_rules.check(request)
    return {violation.field: violation.description for violation in refused.value.violations}


def test_every_violation_is_told_by_its_path() -> None:
    pet = account_pb2.Pet(birthdate="soon", weight="-3")
    assert set(violations(account_pb2.CreatePetRequest(pet=pet))) == {"pet.birthdate", "pet.weight"}


def test_as_many_entries_as_the_contract_allows_are_taken() -> None:
    clinic = catalog_pb2.Clinic(facilities=["parking"] * 50)
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"):
        clinic.operating_hours[day].open = "09:00"
    request = catalog_pb2.UpdateClinicRequest(clinic_id="0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55", clinic=clinic)
    request.update_mask.paths.extend(["name"] * field_rules.MOST_ENTRIES)
    field_rules.check(request)


def test_what_is_in_entries_is_held_against_its_rules_too() -> None:
    clinic = catalog_pb2.Clinic(facilities=["x" * 101])
    clinic.cancellation_policy.tiers.add(min_hours_before=-1, refund_percent=100)
    clinic.operating_hours["monday"].open = "noon"
    within = ("facilities", "cancellation_policy.tiers.min_hours_before", "operating_hours.open")
    assert set(violations(catalog_pb2.CreateClinicRequest(clinic=clinic))) == {f"clinic.{path}" for path in within}


def too_many_days() -> Message:
    request = catalog_pb2.CreateClinicRequest()
    for number in range(75_000):
        request.clinic.operating_hours[f"{number:x}"].open = "x"
    return request


def too_many_tiers() -> Message:
    request = catalog_pb2.UpdateServiceRequest(service_id="0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55")
    for _ in range(MANY):
        request.service.cancellation_policy.tiers.add()
    return request


def too_many_ids() -> Message:
    return account_pb2.BatchGetUsersRequest(user_ids=[""] * MANY)


def too_many_paths() -> Message:
    request = account_pb2.UpdateCurrentUserRequest(user=account_pb2.User(full_name="Siti"))
    request.update_mask.paths.extend([""] * MANY)
    return request


def too_many_extensions() -> Message:
    request = payment_pb2.ReceiveWebhookRequest(provider="sandbox")
    for _ in range(MANY):
        request.body.extensions.add()
    return request


@pytest.mark.parametrize(
    ("make", "field", "most"),
    [
        (too_many_days, "clinic.operating_hours", 7),
        (too_many_tiers, "service.cancellation_policy.tiers", 10),
        (too_many_ids, "user_ids", 100),
        (too_many_paths, "update_mask.paths", field_rules.MOST_ENTRIES),
        (too_many_extensions, "body.extensions", field_rules.MOST_ENTRIES),
    ],
)
def test_a_list_that_is_too_long_is_refused_by_its_length_alone(
    make: Callable[[], Message], field: str, most: int
) -> None:
    request = make()
    began = time.process_time()
    told = violations(request)
    assert time.process_time() - began < 0.2
    assert told == {field: f"must contain no more than {most} item(s)"}


def test_lists_within_lists_are_looked_at_as_deep_as_they_go() -> None:
    """No request is like that today: a saga's command holds others of its own type."""
    command = saga_pb2.Command()
    command.next.add().next.add().next.extend([saga_pb2.Command()] * (field_rules.MOST_ENTRIES + 1))
    assert set(violations(command)) == {"next.next.next"}
