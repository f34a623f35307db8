"""Money: a Decimal and a currency, never a float."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Self

from petpro.type.v1 import money_pb2
from petpro_common.errors import invalid

_NO_MINOR_UNIT = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()  # noqa: SIM905  # one line to read
)
_TWO_DIGITS = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP
    CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR
    ZMW ZWG
    """.split()  # noqa: SIM905
)
CURRENCIES = _TWO_DIGITS | _NO_MINOR_UNIT - {"UYI"}
"""In which prices are named: what people pay with, of ISO 4217, where it has two fraction digits or none."""
_LIMIT = Decimal("9999999999.99")
CENT = Decimal("0.01")


def minor_unit(currency: str) -> Decimal:
    """The smallest amount of `currency` that PetPro carries: 1 where ISO 4217 knows no minor unit, else 0.01."""
    return Decimal(1) if currency in _NO_MINOR_UNIT else CENT


def rounded(amount: Decimal, currency: str) -> Decimal:
    """`amount` to the currency's minor unit, half to even, always with two fraction digits as the database keeps it."""
    return amount.quantize(minor_unit(currency), ROUND_HALF_EVEN).quantize(CENT)


@dataclass(frozen=True, order=False)
class Money:
    """An amount with two fraction digits, and its ISO 4217 code. Amounts of different currencies never meet."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", self.amount.quantize(CENT))

    def share(self, percent: Decimal) -> Self:
        """`percent` hundredths of it, rounded half to even to the minor unit."""
        return type(self)(rounded(self.amount * percent / 100, self.currency), self.currency)

    def to_proto(self) -> money_pb2.Money:
        """As it travels: decimal string and code."""
        return money_pb2.Money(amount=str(self.amount), currency_code=self.currency)

    @classmethod
    def from_proto(cls, message: money_pb2.Money, field: str = "amount") -> Self:
        """Reads an amount of 0 or more.

        Raises InvalidRequest, naming `field`, when it is no decimal, negative, above 9,999,999,999.99, or finer than
        the currency's minor unit.
        """
        try:
            amount = Decimal(message.amount)
        except InvalidOperation:
            raise invalid(f"{field}.amount", "must be a decimal number") from None
        if not (amount.is_finite() and 0 <= amount <= _LIMIT):
            raise invalid(f"{field}.amount", "must be between 0 and 9999999999.99")
        if (
            len(message.currency_code) != 3
            or not message.currency_code.isascii()
            or not message.currency_code.isupper()
        ):
            raise invalid(f"{field}.currency_code", "must be an ISO 4217 code")
        if amount % minor_unit(message.currency_code) != 0:
            raise invalid(f"{field}.amount", f"is finer than the minor unit of {message.currency_code}")
        return cls(amount, message.currency_code)
