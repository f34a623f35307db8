"""Shares are exact to the cent, whatever the amounts."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_common.money import minor_unit
from petpro_payment.splitting import Split, fee_split, refund_split

pytestmark = pytest.mark.unit

CURRENCIES = st.sampled_from(["IDR", "USD", "JPY"])
PERCENTS = st.decimals(0, 100, places=2)


@st.composite
def sales(draw: st.DrawFn) -> tuple[str, Decimal, list[Decimal]]:
    """A currency, a price in it, and parts that sum to the price."""
    currency = draw(CURRENCIES)
    units = draw(st.integers(1, 10**9))
    cuts = sorted([0, *draw(st.lists(st.integers(1, units), max_size=6, unique=True)), units])
    parts = [Decimal(high - low) * minor_unit(currency) for low, high in pairwise(cuts)]
    return currency, units * minor_unit(currency), [part for part in parts if part]


@given(sales(), PERCENTS, PERCENTS)
def test_a_fee_balances(sale: tuple[str, Decimal, list[Decimal]], commission: Decimal, tax: Decimal) -> None:
    currency, price, _ = sale
    split = fee_split(price, currency, commission, tax)
    assert split.total == price
    assert min(split.platform_fee, split.tax, split.clinic) >= 0
    assert all(share % minor_unit(currency) == 0 for share in (split.platform_fee, split.tax, split.clinic))


@given(sales(), PERCENTS, PERCENTS)
def test_refunds_in_any_parts_take_back_what_each_had_got(
    sale: tuple[str, Decimal, list[Decimal]], commission: Decimal, tax: Decimal
) -> None:
    currency, price, parts = sale
    fee = fee_split(price, currency, commission, tax)
    done: list[Split] = []
    for part in parts:
        done.append(refund_split(fee, done, part, currency))
        assert done[-1].total == part
        assert min(shares(done)) >= 0
        assert all(share % minor_unit(currency) == 0 for share in shares(done))
    assert shares(done) == shares([fee])


def shares(splits: list[Split]) -> tuple[Decimal, Decimal, Decimal]:
    """What platform, tax and clinic have of all of them."""
    zero = Decimal(0)
    return (
        sum((split.platform_fee for split in splits), zero),
        sum((split.tax for split in splits), zero),
        sum((split.clinic for split in splits), zero),
    )


def test_half_a_cent_goes_to_the_even_one() -> None:
    assert fee_split(Decimal("0.50"), "USD", Decimal(1), Decimal(0)).platform_fee == Decimal("0.00")
    assert fee_split(Decimal("1.50"), "USD", Decimal(1), Decimal(0)).platform_fee == Decimal("0.02")


def test_tax_is_of_the_platforms_own_fee() -> None:
    split = fee_split(Decimal(250000), "IDR", Decimal(10), Decimal(11))
    assert (split.platform_fee, split.tax, split.clinic) == (Decimal(25000), Decimal(2750), Decimal(222250))
