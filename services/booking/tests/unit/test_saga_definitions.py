"""The four sagas, as dialogues: what is ordered, in which order, when everything goes well and when it does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from annotated_types import Le

from petpro_booking.saga import CANCELLATION, CHECKOUT, CLINIC_CANCELLATION, NO_SHOW
from petpro_booking.settings import Settings
from petpro_common.ids import new_id
from petpro_common.saga.core import advance, begin
from petpro_common.saga.model import Local, Outcome, Reply, Saga, SagaState

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
IDS = {name: str(new_id()) for name in ("booking_id", "payment_id", "refund_id", "entry_id", "user_id", "clinic_id")}
PAID = {"amount": "150000.00", "currency": "IDR", "commission_rate": "10.00", "pay_until": NOON.isoformat()}
TENDER = {"payment_method": "card", "payment_token": "tok_1"}
CHECKOUT_DATA = {**IDS, **PAID, **TENDER, "requires_approval": False}
REFUND = {"refund_amount": "75000.00", "currency": "IDR", "reason": "", "must_succeed": False, "gives_money_back": True}


def dialogue(saga: Saga, data: dict[str, Any], refuse: str = "") -> tuple[list[str], str]:
    """Everything that is ordered when each step succeeds but the one that is refused, and how the saga ends."""
    ordered = []
    transition = begin(saga, SagaState(new_id(), saga.type, saga.version, "key", data), NOON)
    while order := transition.order:
        action = order.action
        name = action.handler if isinstance(action, Local) else action.build(transition.state.data).DESCRIPTOR.name
        ordered.append(name)
        outcome = Outcome.REFUSED if name == refuse else Outcome.SUCCEEDED
        signal = Reply(order.step.name, order.direction, order.attempt, outcome, "NO" if name == refuse else "")
        transition = advance(saga, transition.state, signal, NOON, luck=0.0)
    return ordered, transition.state.status.value


CHECKED_OUT = ["begin_checkout", "TakePayment", "confirm_booking", "PostBookingFee"]
REFUNDED = ["lock_booking", "ReserveRefund", "PostRefundEntry", "SubmitRefund", "cancel_booking", "SettleRefundEntry"]


@pytest.mark.parametrize(
    ("saga", "data", "refuse", "ordered", "ends"),
    [
        (CHECKOUT, CHECKOUT_DATA, "", CHECKED_OUT, "completed"),
        (
            CHECKOUT,
            {**CHECKOUT_DATA, "requires_approval": True},
            "",
            ["begin_checkout", "await_approval", *CHECKED_OUT[1:]],
            "completed",
        ),
        (
            CHECKOUT,
            {**CHECKOUT_DATA, "requires_approval": True},
            "await_approval",
            ["begin_checkout", "await_approval", "end_checkout"],
            "compensated",
        ),
        (CHECKOUT, CHECKOUT_DATA, "TakePayment", ["begin_checkout", "TakePayment", "end_checkout"], "compensated"),
        (
            CHECKOUT,
            CHECKOUT_DATA,
            "confirm_booking",
            [*CHECKED_OUT[:3], "CancelPayment", "end_checkout"],
            "compensated",
        ),
        (CANCELLATION, {**IDS, **REFUND}, "", REFUNDED, "completed"),
        (
            CANCELLATION,
            {**IDS, **REFUND, "gives_money_back": False},
            "",
            ["lock_booking", "cancel_booking"],
            "completed",
        ),
        (
            CANCELLATION,
            {**IDS, **REFUND},
            "ReserveRefund",
            ["lock_booking", "ReserveRefund", "lift_lock"],
            "compensated",
        ),
        (
            CANCELLATION,
            {**IDS, **REFUND},
            "SubmitRefund",
            [*REFUNDED[:4], "CancelRefundEntry", "ReleaseRefund", "lift_lock"],
            "compensated",
        ),
        (
            CLINIC_CANCELLATION,
            {**IDS, **REFUND, "must_succeed": True},
            "",
            ["lock_booking", "cancel_booking", *REFUNDED[1:4], "SettleRefundEntry"],
            "completed",
        ),
        (
            CLINIC_CANCELLATION,
            {**IDS, **REFUND, "must_succeed": True},
            "SubmitRefund",
            ["lock_booking", "cancel_booking", *REFUNDED[1:4]],
            "parked",
        ),
        (NO_SHOW, {**IDS, **REFUND, "must_succeed": True}, "", [*REFUNDED[1:4], "SettleRefundEntry"], "completed"),
        (NO_SHOW, {**IDS, **REFUND, "must_succeed": True}, "SubmitRefund", REFUNDED[1:4], "parked"),
    ],
)
def test_given_when_then(saga: Saga, data: dict[str, Any], refuse: str, ordered: list[str], ends: str) -> None:
    assert dialogue(saga, data, refuse) == (ordered, ends)


def test_a_clinic_never_has_longer_to_approve_than_the_saga_waits() -> None:
    (most,) = [rule for rule in Settings.model_fields["approval_seconds"].metadata if isinstance(rule, Le)]
    assert most == Le(CHECKOUT.step("approve").horizon / timedelta(seconds=1))
