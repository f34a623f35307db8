"""A page ends where the next one begins, and a token leads nowhere but there."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from petpro_common import context
from petpro_common.context import CallContext
from petpro_common.ids import new_id
from petpro_common.pages import BadPageToken, cut, read_id, read_key, read_moment, write_token

pytestmark = pytest.mark.unit


class Visit(NamedTuple):
    at: datetime
    id: UUID


VISITS = [Visit(datetime(2026, 11, day, 9, 30, 0, 125, UTC), new_id()) for day in (1, 2, 3)]


def test_the_next_page_begins_after_the_last_row_that_was_shown() -> None:
    shown, token = cut(VISITS, 2, lambda visit: (visit.at, visit.id), "mine")
    assert shown == VISITS[:2]
    assert read_moment(token, "mine") == VISITS[1]


@pytest.mark.parametrize("size", [3, 4])
def test_a_list_that_ends_with_the_page_has_no_next_one(size: int) -> None:
    assert cut(VISITS, size, lambda visit: (visit.id,)) == (VISITS, "")
    assert read_id("") is None


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        (("Rex", VISITS[0].id), (str, UUID)),
        ((12.5, VISITS[0].id), (float, UUID)),
        (("bookings", "[1,2]"), (str, str)),
        ((42,), (int,)),
    ],
)
def test_a_key_is_read_as_it_was_written(written: tuple[Any, ...], reads: Any) -> None:
    assert read_key(write_token(written, "a filter"), reads, "a filter") == written


@pytest.mark.parametrize(
    "read", [read_id, read_moment, lambda token: read_key(token, (int,)), lambda token: read_key(token, (str, str))]
)
@pytest.mark.parametrize("key", [(), ("Rex",), ("Rex", "Bello", "Luna"), (1, 2, 3)])
def test_a_token_with_another_key_is_no_page_of_this_list(read: Callable[[str], Any], key: tuple[Any, ...]) -> None:
    with pytest.raises(BadPageToken):
        read(write_token(key))


@pytest.mark.parametrize("token", ["!", "e30", "WzFd", "\N{DOG FACE}"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(BadPageToken):
        read_id(token)


def test_a_token_is_for_one_list_and_its_filters() -> None:
    with context.within(CallContext("/petpro.booking.v1.BookingService/ListBookings", "a request")):
        token = write_token((VISITS[0].id,), "confirmed")
        assert read_id(token, "confirmed") == VISITS[0].id
        with pytest.raises(BadPageToken):
            read_id(token, "cancelled")
    with (
        context.within(CallContext("/petpro.booking.v1.SagaService/ListSagas", "another")),
        pytest.raises(BadPageToken),
    ):
        read_id(token, "confirmed")
