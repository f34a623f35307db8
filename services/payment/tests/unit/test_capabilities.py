"""What a provider can take and give back, and how it counts."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_common.money import Money, minor_unit
from petpro_payment.domain import Reason
from petpro_payment.providers import midtrans
from petpro_payment.providers.capabilities import (
    AmountDoesNotFit,
    ByHand,
    Capabilities,
    Method,
    from_units,
    money_of_ours,
    to_units,
    why_not_refund,
    why_not_take,
)

WEEK = timedelta(days=7)
BANK = Capabilities(
    name="bank",
    methods={
        "card": Method(),
        "qris": Method(partial=False, refund_window=WEEK),
        "virtual_account": Method(refundable=False),
    },
    currencies={"IDR": 0, "USD": 2, "JPY": 0},
    lists=True,
)
HUNDREDTHS = Capabilities("card people", {}, {"IDR": 2, "USD": 2, "JPY": 0}, lists=True)


def money(amount: str, currency: str = "IDR") -> Money:
    return Money(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("method", "price", "reason"),
    [
        ("card", money("250000"), None),
        ("card", money("19.99", "USD"), None),
        ("barter", money("250000"), Reason.PAYMENT_METHOD_NOT_OFFERED),
        ("card", money("250000", "EUR"), Reason.CURRENCY_NOT_OFFERED),
        ("card", money("250000.50"), Reason.AMOUNT_TOO_FINE),
    ],
)
def test_what_a_provider_cannot_take_has_a_reason(method: str, price: Money, reason: Reason | None) -> None:
    assert why_not_take(BANK, method, price) == reason


@pytest.mark.parametrize(
    ("method", "amount", "since", "cause"),
    [
        ("card", "1", 400 * WEEK, None),
        ("card", "0.50", WEEK, ByHand.AMOUNT),
        ("qris", "100", WEEK, None),
        ("qris", "99", WEEK, ByHand.PARTIAL),
        ("qris", "100", WEEK + timedelta(microseconds=1), ByHand.WINDOW),
        ("virtual_account", "100", timedelta(0), ByHand.METHOD),
        ("no longer offered", "100", timedelta(0), ByHand.METHOD),
    ],
)
def test_what_a_provider_cannot_give_back_has_a_cause(
    method: str, amount: str, since: timedelta, cause: ByHand | None
) -> None:
    assert why_not_refund(BANK, method, money(amount), Decimal(100), since) == cause


@pytest.mark.parametrize(("days", "cause"), [(365, None), (366, ByHand.WINDOW)])
def test_midtrans_gives_back_to_a_card_for_a_year(days: int, cause: ByHand | None) -> None:
    assert why_not_refund(midtrans.CAPABILITIES, "card", money("100"), Decimal(100), timedelta(days=days)) == cause


def test_each_provider_counts_in_its_own_unit() -> None:
    assert to_units(money("250000"), HUNDREDTHS) == 25_000_000
    assert to_units(money("250000"), BANK) == 250_000
    assert to_units(money("1200", "JPY"), HUNDREDTHS) == 1200
    assert from_units("250000.00", "IDR", BANK) == money("250000")
    assert from_units(1999, "usd", HUNDREDTHS) == money("19.99", "USD")


@pytest.mark.parametrize("units", [Decimal("0.001"), "0.5"])
def test_what_is_no_money_of_ours_is_refused(units: Decimal | str) -> None:
    with pytest.raises(AmountDoesNotFit):
        from_units(units, "USD", HUNDREDTHS)
    assert money_of_ours(units, "USD", HUNDREDTHS) is None
    assert money_of_ours(1, "GBP", HUNDREDTHS) is None


@given(
    st.decimals(min_value=0, max_value=9_999_999_999, places=2),
    st.sampled_from(["IDR", "USD", "JPY"]),
    st.sampled_from([BANK, HUNDREDTHS]),
)
def test_an_amount_comes_back_exactly_or_is_refused(amount: Decimal, currency: str, provider: Capabilities) -> None:
    price = Money(amount, currency)
    try:
        units = to_units(price, provider)
    except AmountDoesNotFit:
        assert amount % max(Decimal(1).scaleb(-provider.currencies[currency]), minor_unit(currency)) != 0
    else:
        assert from_units(units, currency, provider) == price
