"""The typed errors of calls, webhooks and orders."""

from petpro_common.errors import InvalidRequest, NotFound, Unauthenticated, Unavailable, WrongState


class PaymentNotFound(NotFound):
    """There is no such payment."""

    reason = "PAYMENT_NOT_FOUND"


class ClinicNotFound(NotFound):
    """There is no such clinic."""

    reason = "CLINIC_NOT_FOUND"


class TooEarly(WrongState):
    """What this order builds upon is not there yet; the order is tried again."""


class TooLate(WrongState):
    """What this order would undo can no longer be undone."""


class ProviderNotFound(NotFound):
    """There is no such payment provider."""

    reason = "PROVIDER_NOT_FOUND"


class BadSignature(Unauthenticated):
    """The webhook's signature or time is wrong."""

    reason = "BAD_SIGNATURE"


class BadWebhook(InvalidRequest):
    """The webhook's body cannot be read."""

    reason = "BAD_WEBHOOK"


class ProviderAway(Unavailable):
    """The payment provider cannot be asked now; call, or send the webhook, again."""

    reason = "PROVIDER_AWAY"


class SettlementNotFound(NotFound):
    """There is no such settlement."""

    reason = "SETTLEMENT_NOT_FOUND"


class RefundNotFound(NotFound):
    """There is no such refund."""

    reason = "REFUND_NOT_FOUND"


class RefundNotManual(WrongState):
    """The refund does not wait for a person."""

    reason = "REFUND_NOT_MANUAL"


class RefundNotRetriable(WrongState):
    """The provider cannot make the refund, or had paid it and the bank sent it back. It is to be paid out."""

    reason = "REFUND_NOT_RETRIABLE"


class PaymentTakenBack(WrongState):
    """The provider has taken back what it had captured: the customer may have it. Close the quarantine first."""

    reason = "PAYMENT_TAKEN_BACK"


class PaymentNotQuarantined(WrongState):
    """The payment is not quarantined, or no longer."""

    reason = "PAYMENT_NOT_QUARANTINED"
