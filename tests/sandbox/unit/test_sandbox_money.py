"""Amounts go in and out without loss, and nothing else goes in."""

import pytest

from devstack.sandbox.errors import InvalidRequest
from devstack.sandbox.money import decimal_string, minor_units

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "shown"),
    [
        ("250000.00", "IDR", 25_000_000, "250000.00"),
        ("250000", "IDR", 25_000_000, "250000.00"),
        ("0.05", "USD", 5, "0.05"),
        ("19.9", "USD", 1_990, "19.90"),
        ("1200", "JPY", 1_200, "1200"),
        ("1.005", "KWD", 1_005, "1.005"),
        ("999999999999.99", "IDR", 99_999_999_999_999, "999999999999.99"),
    ],
)
def test_an_amount_is_carried_to_the_minor_unit(amount: str, currency: str, minor: int, shown: str) -> None:
    assert minor_units(amount, currency) == minor
    assert decimal_string(minor, currency) == shown


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("100.00", "JPY"), ("1.001", "USD"), ("0", "IDR"), ("0.00", "IDR"), ("-5", "IDR"), ("+5", "IDR"),
        ("1e3", "IDR"), ("NaN", "IDR"), ("", "IDR"), (" 5", "IDR"), ("5\n", "IDR"), ("007", "IDR"),
        (".5", "IDR"), ("5.", "IDR"), ("1,000", "IDR"), ("\u0665", "IDR"), ("1000000000000", "IDR"), ("5", "XXX"),
        ("5", "idr"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(InvalidRequest):
        minor_units(amount, currency)
