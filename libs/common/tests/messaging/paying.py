"""A participant that takes payments, and an event that cannot be read."""

from typing import Any

from libs.common.tests.messaging.desk import SECRET, SUBJECT, Desk
from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.participant import Answer, Succeeded, command_consumer

PAY = "petpro.commands.booking.take_payment"


class Paying:
    """A participant that takes a payment, and keeps in mind for which commands."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._saga_id = str(new_id())
        self.paid: list[str] = []
        broker = Broker("booking", "nats://127.0.0.1:1", "")
        self._consumer: Consumer = command_consumer(desk.database, broker, {commands_pb2.TakePayment: self._take})

    async def _take(self, _: Transaction, command_id: str, __: commands_pb2.TakePayment) -> Answer:
        self.paid.append(command_id)
        self._desk.at_work.set()
        await self._desk.may_go_on.wait()
        return Succeeded()

    def command(self, attempt: int) -> bytes:
        asked = saga_pb2.Command(command_id="miko:pay:forward", saga_id=self._saga_id, step="pay", attempt=attempt)
        asked.reply_to = "petpro.replies.checkout"
        asked.payload.Pack(commands_pb2.TakePayment(payment_token=SECRET))
        return asked.SerializeToString()

    async def arrives(self, message_id: str, attempt: int) -> None:
        """A copy, as the broker delivers it."""
        await self._consumer.redrive(PAY, {"Nats-Msg-Id": message_id}, self.command(attempt))


def unreadable(message_id: str) -> dict[str, Any]:
    """The columns of an event that is parked since it cannot be read."""
    about = {"message_id": message_id, "consumer": "booking", "subject": SUBJECT, "headers": "{}"}
    return {**about, "payload": b"{not json", "error": "Unprocessable: the event is not JSON", "tries": 1}
