"""Amounts: decimal strings outside, whole minor units inside, never floats."""

import re

from devstack.sandbox.errors import InvalidRequest

MINOR_UNITS = {
    "AUD": 2, "CNY": 2, "EUR": 2, "GBP": 2, "HKD": 2, "IDR": 2, "INR": 2, "JPY": 0, "KRW": 0,
    "KWD": 3, "MYR": 2, "PHP": 2, "SGD": 2, "THB": 2, "TWD": 2, "USD": 2, "VND": 0,
}  # fmt: skip
"""Decimal places of each accepted currency, from ISO 4217."""

_DECIMAL = re.compile(r"(?P<whole>0|[1-9][0-9]{0,11})(?:\.(?P<part>[0-9]{1,3}))?")


def minor_units(amount: str, currency: str) -> int:
    """The amount in whole minor units; above zero and with no more decimals than the currency has."""
    if currency not in MINOR_UNITS:
        raise InvalidRequest("currency_not_supported", f"Currency {currency} is not supported.", param="currency")
    match = _DECIMAL.fullmatch(amount)
    if match is None:
        raise InvalidRequest("amount_invalid", "An amount is a plain decimal string.", param="amount")
    digits, part = MINOR_UNITS[currency], match["part"] or ""
    if len(part) > digits:
        raise InvalidRequest("amount_invalid", f"{currency} has {digits} decimal places.", param="amount")
    minor = int(match["whole"] + part.ljust(digits, "0"))
    if minor == 0:
        raise InvalidRequest("amount_invalid", "An amount is more than zero.", param="amount")
    return minor


def decimal_string(minor: int, currency: str) -> str:
    """The amount as people write it, always with all decimals of its currency."""
    digits = MINOR_UNITS[currency]
    if digits == 0:
        return str(minor)
    whole, part = divmod(minor, 10**digits)
    return f"{whole}.{part:0{digits}d}"
