"""What may follow what."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from petpro_booking.domain import (
    BookingHasNotBegun,
    CancellationInProgress,
    CheckoutInProgress,
    ReservationExpired,
    ReservationNotPending,
    WrongBookingStatus,
    must_be,
    must_be_free_to_cancel,
    must_be_its_day,
    must_have_begun,
    new_reference_code,
)
from petpro_booking.slots import range_to_open
from petpro_common.errors import InvalidRequest
from petpro_common.zones import zone

pytestmark = pytest.mark.unit

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def test_a_booking_moves_on_from_the_right_status_only() -> None:
    must_be("confirmed", _booking("confirmed", "none"))
    must_be("confirmed", _booking("confirmed", "refused"))
    with pytest.raises(WrongBookingStatus):
        must_be("confirmed", _booking("cancelled", "cancelled"))
    with pytest.raises(CancellationInProgress):
        must_be("confirmed", _booking("confirmed", "requested"))
    with pytest.raises(CancellationInProgress):
        must_be("confirmed", _booking("confirmed", "refused", called_off_reason=""))


def _booking(status: str, cancellation_status: str, called_off_reason: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(status=status, cancellation_status=cancellation_status, called_off_reason=called_off_reason)


def test_a_hold_is_given_back_while_nobody_pays_for_it() -> None:
    must_be_free_to_cancel("pending", "none")
    must_be_free_to_cancel("pending", "failed")
    must_be_free_to_cancel("pending", "awaiting_approval")
    with pytest.raises(CheckoutInProgress):
        must_be_free_to_cancel("pending", "awaiting_payment")
    with pytest.raises(ReservationExpired):
        must_be_free_to_cancel("expired", "none")
    with pytest.raises(ReservationNotPending):
        must_be_free_to_cancel("confirmed", "confirmed")


def test_nobody_fails_to_come_before_the_time() -> None:
    must_have_begun(NOW, NOW)
    with pytest.raises(BookingHasNotBegun):
        must_have_begun(NOW + timedelta(seconds=1), NOW)


def test_nobody_comes_before_the_day_that_it_is_at_the_clinic() -> None:
    jakarta = zone("Asia/Jakarta")
    midnight = datetime(2026, 11, 24, tzinfo=jakarta)
    morning = midnight + timedelta(hours=9)
    must_be_its_day(midnight + timedelta(hours=23, minutes=59), jakarta, midnight.astimezone(UTC))
    must_be_its_day(morning, jakarta, midnight + timedelta(days=3))
    with pytest.raises(BookingHasNotBegun):
        must_be_its_day(morning, jakarta, midnight.astimezone(UTC) - timedelta(microseconds=1))


def test_who_comes_shortly_before_a_visit_after_midnight_comes_on_its_day() -> None:
    jakarta = zone("Asia/Jakarta")
    visit = datetime(2026, 12, 8, 0, 30, tzinfo=jakarta)
    must_be_its_day(visit, jakarta, visit.astimezone(UTC) - timedelta(hours=2))
    with pytest.raises(BookingHasNotBegun):
        must_be_its_day(visit, jakarta, visit.astimezone(UTC) - timedelta(hours=2, microseconds=1))


def test_reference_codes_can_be_read_out() -> None:
    codes = {new_reference_code() for _ in range(1000)}

    assert len(codes) == 1000
    assert all(len(code) == 11 and code.startswith("PP-") for code in codes)
    assert not set("01ILOUV") & {letter for code in codes for letter in code[3:]}


@pytest.mark.parametrize(
    ("days", "fields"),
    [
        (("2026-11-22", "2026-11-23"), ["from_date"]),
        (("2026-11-25", "2026-11-24"), ["to_date"]),
        (("2026-11-23", "2027-02-24"), ["to_date"]),
        (("2027-11-20", "2027-11-25"), ["to_date"]),
        (("2026-11-31", "2026-13-01"), ["from_date", "to_date"]),
        (("2026-11-20", "2026-11-19"), ["to_date", "from_date"]),
    ],
)
def test_days_that_cannot_be_opened_are_all_named(days: tuple[str, str], fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        range_to_open(days, TODAY, TODAY)
    assert [violation.field for violation in refused.value.violations] == fields


def test_a_night_that_goes_on_opens_yesterday_and_leaves_the_furthest_day_where_it_is() -> None:
    yesterday = TODAY - timedelta(days=1)
    assert range_to_open(("2026-11-22", "2026-11-22"), TODAY, yesterday) == (yesterday, yesterday)
    assert range_to_open(("2027-11-24", "2027-11-24"), TODAY, yesterday)[1] == TODAY + timedelta(days=366)
    with pytest.raises(InvalidRequest):
        range_to_open(("2026-11-21", "2026-11-22"), TODAY, yesterday)
