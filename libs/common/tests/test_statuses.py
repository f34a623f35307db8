"""Whatever an error says, its status fits into the headers in which it travels."""

from datetime import timedelta
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from petpro.account.v1 import account_pb2
from petpro_common import errors
from petpro_common.masks import to_edit
from petpro_common.statuses import MOST_VIOLATIONS, to_status

pytestmark = pytest.mark.unit

Detail = TypeVar("Detail", bound=Message)

MOST_BYTES = 5 << 10
"""Which are less than 7 KiB in base64; gRPC's clients take 8 KiB of headers."""


class Talkative(errors.InvalidRequest):
    """This error has something to say."""

    reason = "TALKATIVE"
    retry_after = timedelta(seconds=1)


def violations(status: status_pb2.Status) -> list[tuple[str, str]]:
    found = detail(status, error_details_pb2.BadRequest())
    return [(each.field, each.description) for each in found.field_violations]


def detail(status: status_pb2.Status, kind: Detail) -> Detail:
    assert any(each.Unpack(kind) for each in status.details)
    return kind


def refusal(count: int, description: str = "is required") -> errors.InvalidRequest:
    return errors.InvalidRequest(
        *(errors.FieldViolation(f"pet.field_{number}", description) for number in range(count))
    )


@pytest.mark.parametrize("count", [1, MOST_VIOLATIONS])
def test_a_few_violations_are_told_as_they_are(count: int) -> None:
    told = violations(to_status(refusal(count), "account.petpro"))
    assert told == [(f"pet.field_{number}", "is required") for number in range(count)]


def test_of_many_violations_the_first_are_told_and_how_many_more_there_are() -> None:
    told = violations(to_status(refusal(1000), "account.petpro"))
    assert told[0] == ("pet.field_0", "is required")
    assert told[MOST_VIOLATIONS:] == [("", "and 980 more")]


@pytest.mark.parametrize("letter", ["x", "é", "🐕"])
def test_long_texts_are_cut(letter: str) -> None:
    ((field, description), *_) = violations(to_status(refusal(30, letter * 100_000), "account.petpro"))
    assert field == "pet.field_0"
    assert 100 <= len(description) <= 400
    assert description.endswith("...")


@pytest.mark.parametrize("letter", ["x", "🐕"])
def test_a_status_is_small_whatever_an_error_says(letter: str) -> None:
    long = letter * 100_000
    error = Talkative(*[errors.FieldViolation(long, long)] * 10_000)
    error.metadata = {f"word_{number}": long for number in range(1000)}
    error.__class__.__doc__ = long
    status = to_status(error, "account.petpro")
    assert status.ByteSize() < MOST_BYTES
    assert detail(status, error_details_pb2.ErrorInfo()).reason == "TALKATIVE"
    assert detail(status, error_details_pb2.RetryInfo()).retry_delay.seconds == 1


def test_who_names_many_fields_that_cannot_be_edited_is_told_of_a_few() -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        to_edit(account_pb2.User(), ["x" * 100_000, "role", "id", "email", "status"], ["full_name", "phone_number"])
    (violation,) = refused.value.violations
    assert violation.description == f"cannot edit {'x' * 40}..., role, id and 2 more; can edit full_name, phone_number"
