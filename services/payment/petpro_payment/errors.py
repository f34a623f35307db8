"""What calls about settlements and the money queue are refused with."""

from petpro_common.errors import NotFound, WrongState


class SettlementNotFound(NotFound):
    """There is no such settlement."""

    reason = "SETTLEMENT_NOT_FOUND"


class RefundNotFound(NotFound):
    """There is no such refund."""

    reason = "REFUND_NOT_FOUND"


class RefundNotManual(WrongState):
    """The refund does not wait for a person."""

    reason = "REFUND_NOT_MANUAL"


class PaymentNotQuarantined(WrongState):
    """The payment is not quarantined, or no longer."""

    reason = "PAYMENT_NOT_QUARANTINED"
