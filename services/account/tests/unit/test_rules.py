"""Rules about what is said of people and pets."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_account.contacts import address_hash, email_address, phone_number
from petpro_account.domain import birthdate, filled, photo_url, text

NEW_YEARS_EVE = datetime(2026, 12, 31, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "kept"), [("", None), ("2021-03-14", date(2021, 3, 14)), ("2027-01-01", date(2027, 1, 1))]
)
def test_a_birthdate_may_be_today_wherever_today_is(told: str, kept: date | None) -> None:
    assert birthdate(told, NEW_YEARS_EVE) == kept


@pytest.mark.parametrize("told", ["2027-01-02", "1899-12-31", "2021-02-30", "2021-13-01", "0000-00-00"])
def test_a_birthdate_is_a_date_of_the_past(told: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        birthdate(told, NEW_YEARS_EVE)


@pytest.mark.parametrize(
    "told",
    [
        "http://petpro.example/miko.jpg",
        "https://",
        "https:///miko",
        "//petpro.example",
        "https://[",
        "https://a@b/c",
        "https://a b/",
        "https://a/b c",
        "miko.jpg",
    ],
)
def test_a_photo_is_an_https_address(told: str) -> None:
    with pytest.raises(ValueError, match="must be an https address"):
        photo_url(told)


def test_names_of_all_scripts_are_names() -> None:
    for name in ("Ñandú", "สมชาย", "José-María O'Neil", "さくら", "Nguyễn Thị Minh Khai"):
        assert filled(f" {name} ", 30) == name


@pytest.mark.parametrize(
    "told",
    [
        *("", "   ", "\u200b", "\u202e\ufeff", "\ue000", "\u3164"),
        *("Siti\u2028Aminah", "Siti\x85Aminah", "Siti \u202ehanimA"),
    ],
)
def test_what_nobody_can_see_or_write_on_one_line_is_no_name(told: str) -> None:
    with pytest.raises(ValueError, match="must not"):
        filled(told, 30)


def test_a_text_that_grows_when_it_is_composed_is_measured_afterwards() -> None:
    with pytest.raises(ValueError, match="at most 100 characters"):
        text("\u0958" * 100, 100)


@given(st.text())
def test_text_is_kept_whole_or_refused(told: str) -> None:
    try:
        kept = text(told, 1000)
    except ValueError:
        return
    assert "\x00" not in kept
    assert text(kept, 1000) == kept


@given(st.emails())
def test_an_address_has_one_form_whatever_its_case(told: str) -> None:
    try:
        kept = email_address(told)
    except ValueError:
        return
    assert email_address(kept) == kept
    assert address_hash(told.upper()) == address_hash(told.lower()) == address_hash(kept)


def test_a_number_without_country_is_indonesian() -> None:
    assert phone_number("0812-3456-7890") == phone_number("+62 812 3456 7890") == "+6281234567890"
    assert phone_number("+1 202 555 0143") == "+12025550143"
