"""Payment as booking's sagas meet it: a real participant over a real broker, whose answers the test chooses."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Database, Transaction
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.participant import Answer, CommandHandler, Pending, Refused, Succeeded, command_consumer

RESULTS: dict[str, Message] = {
    "TakePayment": commands_pb2.PaymentTaken(external_reference="pi_1"),
    "CancelPayment": commands_pb2.PaymentCancelled(),
    "PostBookingFee": commands_pb2.BookingFeePosted(),
    "ReserveRefund": commands_pb2.RefundReserved(),
    "ReleaseRefund": commands_pb2.RefundReleased(),
    "PostRefundEntry": commands_pb2.RefundEntryPosted(),
    "CancelRefundEntry": commands_pb2.RefundEntryCancelled(),
    "SubmitRefund": commands_pb2.RefundSubmitted(refund_status="pending"),
    "SettleRefundEntry": commands_pb2.RefundEntrySettled(),
}


@dataclass
class PlayedPayment:
    """Answers every command with success, but for those that `refuse` names with a reason, and those in `pending`."""

    refuse: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    heard: list[Any] = field(default_factory=list)
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """What happens elsewhere before a command is answered."""

    @property
    def asked(self) -> list[str]:
        """The names of the commands, in the order in which they came."""
        return [command.DESCRIPTOR.name for command in self.heard]

    def of_type(self, name: str) -> Any:
        """The one command of that name."""
        (found,) = [command for command in self.heard if command.DESCRIPTOR.name == name]
        return found

    async def answer(self, tx: Transaction, command_id: str, command: Any) -> Answer:
        name = command.DESCRIPTOR.name
        self.heard.append(command)
        if name in self.before:
            await self.before[name]()
        if name in self.refuse:
            return Refused(self.refuse[name])
        if name in self.pending:
            return Pending()
        if name == "TakePayment" and command.payment_method == "pay_at_clinic":
            return Succeeded(commands_pb2.PaymentTaken(at_clinic=True))
        return Succeeded(RESULTS[name])

    def consumer(self, database: Database, broker: Broker) -> Consumer:
        handlers: dict[type[Message], CommandHandler] = {getattr(commands_pb2, name): self.answer for name in RESULTS}
        return command_consumer(database, broker, handlers)
