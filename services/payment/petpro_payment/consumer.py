"""Messages in: the orders of the sagas, and the events that tell who acts for a clinic, and who was erased."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from google.protobuf.message import Message

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Transaction
from petpro_common.errors import InvalidRequest
from petpro_common.faults import told
from petpro_common.messaging.consumer import Unprocessable
from petpro_common.messaging.events import Event, EventHandler
from petpro_common.messaging.participant import Answer, Handler
from petpro_common.money import Money
from petpro_common.personal.erasure import erased
from petpro_common.together import Together
from petpro_payment import ledger, messages, orders, payments, refunds, store, store_personal
from petpro_payment.errands import Errands
from petpro_payment.providers.capabilities import Capabilities, why_not_take

Orders: TypeAlias = Sequence[tuple[str, Any]]
"""Orders of one type, each with its command id."""


def command_handlers(
    provider: Capabilities, tax_percent: Decimal, pay_at_clinic: bool = True, errands: Errands | None = None
) -> Mapping[type[Message], Handler]:
    """One handler per order, which keeps who ordered what, and why.

    `provider` takes new payments, the clinic those that are to be paid there; `tax_percent` is of the platform's fee.
    What the provider is to be asked goes by `errands` to the worker of this process, or waits until one finds it.
    """
    handed_over = Errands() if errands is None else errands

    async def take(tx: Transaction, command_id: str, order: commands_pb2.TakePayment) -> Answer:
        if pay_at_clinic and order.payment_method == payments.AT_CLINIC:
            at_clinic = _readable(messages.new_payment, order, command_id, payments.AT_CLINIC)
            return await payments.take_at_clinic(tx, command_id, at_clinic)
        ordered = _readable(messages.new_payment, order, command_id, provider.name)
        cannot = why_not_take(provider, order.payment_method, Money(ordered["amount"], ordered["currency"]))
        return await payments.take(tx, command_id, ordered, handed_over, cannot)

    async def post_fees(tx: Transaction, given: Orders) -> Sequence[Answer]:
        return await ledger.post_fees(tx, [_fee(order) for _, order in given], tax_percent)

    async def submit_refunds(tx: Transaction, given: Orders) -> Sequence[Answer]:
        submissions = [_submission(command_id, order) for command_id, order in given]
        return await refunds.submit(tx, submissions, handed_over)

    handlers: Mapping[type[Message], Handler] = {
        commands_pb2.TakePayment: take,
        commands_pb2.CancelPayment: _cancel_payment,
        commands_pb2.PostBookingFee: Together(post_fees),
        commands_pb2.ReserveRefund: Together(_reserve_refunds),
        commands_pb2.ReleaseRefund: _release_refund,
        commands_pb2.PostRefundEntry: Together(_post_refund_entries),
        commands_pb2.CancelRefundEntry: _cancel_refund_entry,
        commands_pb2.SubmitRefund: Together(submit_refunds),
        commands_pb2.SettleRefundEntry: Together(_settle_refund_entries),
    }
    return orders.kept(handlers)


async def _cancel_payment(tx: Transaction, command_id: str, order: commands_pb2.CancelPayment) -> Answer:
    return await payments.cancel(tx, command_id, *_ids(order.payment_id))


def _fee(order: commands_pb2.PostBookingFee) -> ledger.Fee:
    entry_id, payment_id, booking_id, clinic_id = _ids(
        order.entry_id, order.payment_id, order.booking_id, order.clinic_id
    )
    money, percent = _readable(Money.from_proto, order.amount), _readable(_percent, order.commission_rate)
    return ledger.Fee(entry_id, payment_id, booking_id, clinic_id, money, percent)


async def _reserve_refunds(tx: Transaction, given: Orders) -> Sequence[Answer]:
    return await refunds.reserve(tx, [_reservation(order) for _, order in given])


def _reservation(order: commands_pb2.ReserveRefund) -> refunds.Reservation:
    refund_id, payment_id, booking_id = _ids(order.refund_id, order.payment_id, order.booking_id)
    money = _readable(Money.from_proto, order.amount)
    return refunds.Reservation(refund_id, payment_id, money, order.reason, booking_id)


async def _release_refund(tx: Transaction, _: str, order: commands_pb2.ReleaseRefund) -> Answer:
    return await refunds.release(tx, *_ids(order.refund_id))


async def _post_refund_entries(tx: Transaction, given: Orders) -> Sequence[Answer]:
    ids = [_ids(order.entry_id, order.refund_id, order.booking_id, order.clinic_id) for _, order in given]
    return await ledger.post_refunds(tx, [ledger.Posting(*four) for four in ids])


async def _cancel_refund_entry(tx: Transaction, _: str, order: commands_pb2.CancelRefundEntry) -> Answer:
    return await ledger.cancel_refund(tx, *_ids(order.entry_id))


def _submission(command_id: str, order: commands_pb2.SubmitRefund) -> refunds.Submission:
    (refund_id,) = _ids(order.refund_id)
    return refunds.Submission(refund_id, command_id, order.must_succeed)


async def _settle_refund_entries(tx: Transaction, given: Orders) -> Sequence[Answer]:
    return await refunds.settle(tx, [_settlement(command_id, order) for command_id, order in given])


def _settlement(command_id: str, order: commands_pb2.SettleRefundEntry) -> refunds.Settlement:
    refund_id, entry_id = _ids(order.refund_id, order.entry_id)
    return refunds.Settlement(refund_id, entry_id, command_id)


async def on_clinic_changed(tx: Transaction, event: Event) -> None:
    """The clinic's owner acts for it."""
    clinic_id, owner_id = _ids(event["clinic_id"], event["owner_id"])
    store.put_member(tx, clinic_id, clinic_id, owner_id, event["version"])


async def on_staff_changed(tx: Transaction, event: Event) -> None:
    """A staff member with an account acts for the clinic; one who left, or has none, does not."""
    staff_id, clinic_id = _ids(event["staff_id"], event["clinic_id"])
    user_id = None if event.get("is_deleted") or not event.get("user_id") else _ids(event["user_id"])[0]
    store.put_member(tx, staff_id, clinic_id, user_id, event["version"])


EVENT_HANDLERS: Mapping[str, EventHandler] = {
    "clinic.changed": on_clinic_changed,
    "staff.changed": on_staff_changed,
    "user.erased": erased(store_personal.forget),
}


def _ids(*values: str) -> list[UUID]:
    return [_readable(UUID, value) for value in values]


def _percent(value: str) -> Decimal:
    percent = Decimal(value)
    if not 0 <= percent <= 100:
        raise ValueError("a rate is between 0 and 100 percent")
    return percent


def _readable(read: Callable[..., Any], *values: Any) -> Any:
    """What `read` makes of the values. A message that cannot be read now never can."""
    try:
        return read(*values)
    except (ValueError, ArithmeticError, InvalidRequest) as fault:
        raise Unprocessable(told(fault)) from fault
