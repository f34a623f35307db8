"""What a provider can do, declared; and what follows from it before anybody is asked.

Providers count money in units of their own: Stripe takes IDR in hundredths, Xendit and Midtrans in whole rupiah, and
JPY has no minor unit anywhere. An amount that a provider's unit cannot hold is refused, never rounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from petpro_common.money import Money
from petpro_payment.domain import Reason


@dataclass(frozen=True)
class Method:
    """What a provider can do with one way to pay."""

    refundable: bool = True
    partial: bool = True
    """Less than the whole payment can be given back."""
    refund_window: timedelta | None = None
    """After the capture; no longer than this can money be given back. None for ever."""


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do."""

    name: str
    methods: Mapping[str, Method]
    """By the payment method's name in our API: card, qris, virtual_account, e_wallet."""
    currencies: Mapping[str, int]
    """By ISO 4217 code: with how many fraction digits the provider counts."""
    lists: bool
    """It can list what it took and gave back within a span of time, whether that is ours or not."""


class ByHand(StrEnum):
    """Why a provider cannot give money back, so that a person has to."""

    METHOD = "METHOD_NOT_REFUNDABLE"
    PARTIAL = "NO_PARTIAL_REFUNDS"
    WINDOW = "REFUND_WINDOW_OVER"
    AMOUNT = "AMOUNT_TOO_FINE"


class AmountDoesNotFit(ValueError):
    """An amount is finer than the provider's unit."""


def why_not_take(provider: Capabilities, method: str, money: Money) -> Reason | None:
    """Why a provider cannot take this payment; None when it can."""
    if method not in provider.methods:
        return Reason.PAYMENT_METHOD_NOT_OFFERED
    if money.currency not in provider.currencies:
        return Reason.CURRENCY_NOT_OFFERED
    return None if _fits(provider, money) else Reason.AMOUNT_TOO_FINE


def why_not_refund(
    provider: Capabilities, method: str, money: Money, captured: Decimal, since: timedelta
) -> ByHand | None:
    """Why a provider cannot give back `money` of `captured`, `since` the capture; None when it can."""
    can = provider.methods.get(method)
    if can is None or not can.refundable:
        return ByHand.METHOD
    if not can.partial and money.amount < captured:
        return ByHand.PARTIAL
    if can.refund_window is not None and since > can.refund_window:
        return ByHand.WINDOW
    return None if _fits(provider, money) else ByHand.AMOUNT


def to_units(money: Money, provider: Capabilities) -> int:
    """The amount in the provider's units. Raises AmountDoesNotFit, and LookupError for a currency it does not take."""
    units = money.amount.scaleb(provider.currencies[money.currency])
    if units != units.to_integral_value():
        raise AmountDoesNotFit(f"{provider.name} counts no {money}")
    return int(units)


def from_units(units: int | str | Decimal, currency: str, provider: Capabilities) -> Money:
    """What a provider means by so many units; the currency may be in lower case. Never a float.

    Raises AmountDoesNotFit when it cannot be money of ours, and LookupError for a currency the provider does not take.
    """
    code = currency.upper()
    amount = Decimal(units).scaleb(-provider.currencies[code])
    money = Money(amount, code)
    if money.amount != amount:
        raise AmountDoesNotFit(f"{provider.name} says {amount} {code}")
    return money


def money_of_ours(units: int | str | Decimal, currency: str, provider: Capabilities) -> Money | None:
    """The same; None of what can be no money of ours."""
    try:
        return from_units(units, currency, provider)
    except (AmountDoesNotFit, LookupError):
        return None


def _fits(provider: Capabilities, money: Money) -> bool:
    try:
        to_units(money, provider)
    except AmountDoesNotFit:
        return False
    return True
