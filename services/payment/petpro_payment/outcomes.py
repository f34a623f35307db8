"""What a provider can tell of a payment or a refund. Nothing else is believed."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from petpro_common.money import Money


@dataclass(frozen=True)
class Captured:
    """The money was taken, for good. `money` is what the provider took, which need not be what we asked for."""

    external_reference: str
    money: Money
    paid_at: datetime


@dataclass(frozen=True)
class Declined:
    """No money was taken, and none will be. `reason` is one of error_reason.proto.

    `is_current`: so it stands now, and this is no older word that comes late. Of what was captured it says then that
    the provider has taken it back.
    """

    reason: str
    external_reference: str = ""
    is_current: bool = False


@dataclass(frozen=True)
class CalledOff:
    """The payment was cancelled or expired at the provider, or never reached it: no money was taken.

    `is_current` as with Declined.
    """

    external_reference: str = ""
    is_current: bool = False


@dataclass(frozen=True)
class Processing:
    """The provider has it and will know later. `customer_action` is what the customer has to do, if anything."""

    external_reference: str
    customer_action: str = ""


@dataclass(frozen=True)
class Unknown:
    """Nobody can tell yet: a time-out, a cut connection, a fault of the provider. It must be asked again."""

    cause: str


PaymentOutcome: TypeAlias = Captured | Declined | CalledOff | Processing | Unknown


@dataclass(frozen=True)
class RefundAccepted:
    """The provider has taken the refund on; the money is on its way."""

    external_reference: str


@dataclass(frozen=True)
class RefundSucceeded:
    """The money has gone back."""

    external_reference: str


@dataclass(frozen=True)
class RefundRefused:
    """The provider will not do it; no refund exists there. `code` is the provider's own."""

    code: str


@dataclass(frozen=True)
class RefundLater:
    """No refund exists there, and the provider may make one later. `cause` says what is to be waited for."""

    cause: str


@dataclass(frozen=True)
class RefundByHand:
    """The provider cannot do it and was not asked: a person has to. `code` says why."""

    code: str


@dataclass(frozen=True)
class RefundFailed:
    """The refund was accepted, and the money came back to us."""

    external_reference: str
    code: str


RefundOutcome: TypeAlias = (
    RefundAccepted | RefundSucceeded | RefundRefused | RefundLater | RefundByHand | RefundFailed | Unknown
)
