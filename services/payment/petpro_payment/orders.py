"""Who ordered what about money, and why: a row for each order of a saga that was taken on, which nobody can change.

The order's command id says who: the saga, its step, and whether that was its compensation.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from petpro_common.db import Transaction
from petpro_common.messaging.participant import Answer, CommandHandler, CommandsHandler, Handler, Refused
from petpro_common.together import Together
from petpro_payment import store_audit


def kept(handlers: Mapping[type[Message], Handler]) -> Mapping[type[Message], Handler]:
    """The same handlers, of which each keeps what it was ordered, unless it refused."""
    return {kind: _all_kept(each) if isinstance(each, Together) else _kept(each) for kind, each in handlers.items()}


def _kept(handle: CommandHandler) -> CommandHandler:
    async def handle_and_keep(tx: Transaction, command_id: str, order: Any) -> Answer:
        answer = await handle(tx, command_id, order)
        _keep(tx, command_id, order, answer)
        return answer

    return handle_and_keep


def _all_kept(together: CommandsHandler) -> CommandsHandler:
    async def handle_and_keep(tx: Transaction, orders: Sequence[tuple[str, Any]]) -> Sequence[Answer]:
        answers = await together.handle(tx, orders)
        for (command_id, order), answer in zip(orders, answers, strict=True):
            _keep(tx, command_id, order, answer)
        return answers

    return Together(handle_and_keep)


def _keep(tx: Transaction, command_id: str, order: Any, answer: Answer) -> None:
    if not isinstance(answer, Refused):
        store_audit.record_order(tx, command_id, order.DESCRIPTOR.name, subject_of(order), _reason(order))


def subject_of(order: Any) -> UUID:
    """The entry, refund or payment that an order is about."""
    about = getattr(order, "entry_id", "") or getattr(order, "refund_id", "") or order.payment_id
    return UUID(about)


def _reason(order: Any) -> str:
    """In a person's words where there are any; else the booking, refund or payment for whose sake it is."""
    if told := getattr(order, "reason", ""):
        return str(told)
    for name in ("booking_id", "refund_id"):
        if about := getattr(order, name, ""):
            return f"{name.removesuffix('_id')} {about}"
    return f"payment {order.payment_id}"
