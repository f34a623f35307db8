"""How an amount is shared out between platform, tax and clinic, to the last cent."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from petpro_common.money import rounded


@dataclass(frozen=True)
class Split:
    """Shares of one ledger entry; they sum to `total` by construction."""

    platform_fee: Decimal
    tax: Decimal
    clinic: Decimal

    @property
    def total(self) -> Decimal:
        return self.platform_fee + self.tax + self.clinic

    def negated(self) -> "Split":
        return Split(-self.platform_fee, -self.tax, -self.clinic)


def fee_split(total: Decimal, currency: str, commission_percent: Decimal, tax_percent: Decimal) -> Split:
    """The platform's fee is `commission_percent` of the price, tax `tax_percent` of that fee; the clinic has the rest.

    Shares are rounded half to even to the currency's minor unit. Tax never takes more than there is.
    """
    fee = rounded(total * commission_percent / 100, currency)
    tax = min(rounded(fee * tax_percent / 100, currency), total - fee)
    return Split(fee, tax, total - fee - tax)


def refund_split(original: Split, before: Iterable[Split], amount: Decimal, currency: str) -> Split:
    """The shares of a refund of `amount` (positive), pro rata of the original, after the refunds `before` it.

    Shares follow the sum of all refunds, not each alone: whatever the parts, refunds that give everything back take
    back exactly what each had got.
    """
    earlier = list(before)
    gone = sum((split.total for split in earlier), Decimal(0)) + amount
    fee = _part(original.platform_fee, gone, original.total, currency)
    fee_and_tax = _part(original.platform_fee + original.tax, gone, original.total, currency)
    fee_now = fee - sum((split.platform_fee for split in earlier), Decimal(0))
    tax_now = fee_and_tax - fee - sum((split.tax for split in earlier), Decimal(0))
    return Split(fee_now, tax_now, amount - fee_now - tax_now)


def _part(share: Decimal, gone: Decimal, total: Decimal, currency: str) -> Decimal:
    return rounded(share * gone / total, currency)
