"""The payment service around one database: orders in, answers out, a worker that is stepped by hand."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from nats.aio.msg import Msg
from sqlalchemy import text

from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.db import Database, Row
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.participant import command_consumer
from petpro_common.messaging.subjects import command_subject
from petpro_common.money import Money
from petpro_common.sealing import Opener
from petpro_payment import store_errands, worker
from petpro_payment.asking import Timings
from petpro_payment.consumer import command_handlers
from petpro_payment.domain import Payment, Refund
from petpro_payment.errands import Item
from petpro_payment.providers.provider import Providers
from petpro_payment.store import find_payment
from petpro_payment.store_refunds import refunds_of
from petpro_payment.under_lock import UnderLock

PRICE = Money(Decimal("250000.00"), "IDR")
QUICK = Timings(lease=60.0, not_found_grace=0.3, poll=0.02, poll_limit=0.05, put_off=0.05)

KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
"""Payment's own, to which nothing in these tests is sealed but where one says so."""

WAITING = "SELECT 1 FROM payments WHERE due_at IS NOT NULL UNION SELECT 1 FROM refunds WHERE due_at IS NOT NULL"

SUCCEEDED = saga_pb2.OUTCOME_SUCCEEDED
REFUSED = saga_pb2.OUTCOME_REFUSED
PENDING = saga_pb2.OUTCOME_PENDING


@dataclass(frozen=True)
class Said:
    """One answer to an order, as it stands in the outbox."""

    outcome: int
    reason: str
    payload: bytes


@dataclass(frozen=True)
class Sale:
    """One booking to be paid; every order about it carries the same ids."""

    payment_id: UUID = field(default_factory=new_id)
    booking_id: UUID = field(default_factory=new_id)
    user_id: UUID = field(default_factory=new_id)
    clinic_id: UUID = field(default_factory=new_id)
    refund_id: UUID = field(default_factory=new_id)
    entry_id: UUID = field(default_factory=new_id)
    refund_entry_id: UUID = field(default_factory=new_id)
    price: Money = PRICE

    def take(
        self, test_value: str = "tok_success", method: str = "card", within: float = 600
    ) -> commands_pb2.TakePayment:
        order = commands_pb2.TakePayment(
            payment_id=str(self.payment_id),
            booking_id=str(self.booking_id),
            user_id=str(self.user_id),
            clinic_id=str(self.clinic_id),
            amount=self.price.to_proto(),
            payment_method=method,
            payment_token=test_value,
        )
        order.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=within))
        return order

    def cancel(self) -> commands_pb2.CancelPayment:
        return commands_pb2.CancelPayment(payment_id=str(self.payment_id), booking_id=str(self.booking_id))

    def fee(self, rate: str = "10.00") -> commands_pb2.PostBookingFee:
        return commands_pb2.PostBookingFee(
            entry_id=str(self.entry_id),
            payment_id=str(self.payment_id),
            booking_id=str(self.booking_id),
            clinic_id=str(self.clinic_id),
            amount=self.price.to_proto(),
            commission_rate=rate,
        )

    def reserve(self, amount: str, refund_id: UUID | None = None) -> commands_pb2.ReserveRefund:
        return commands_pb2.ReserveRefund(
            refund_id=str(refund_id or self.refund_id),
            payment_id=str(self.payment_id),
            booking_id=str(self.booking_id),
            amount=Money(Decimal(amount), self.price.currency).to_proto(),
            reason="the dog is well again",
        )

    def release(self) -> commands_pb2.ReleaseRefund:
        return commands_pb2.ReleaseRefund(refund_id=str(self.refund_id), payment_id=str(self.payment_id))

    def refund_entry(self) -> commands_pb2.PostRefundEntry:
        return commands_pb2.PostRefundEntry(
            entry_id=str(self.refund_entry_id),
            refund_id=str(self.refund_id),
            booking_id=str(self.booking_id),
            clinic_id=str(self.clinic_id),
        )

    def cancel_entry(self) -> commands_pb2.CancelRefundEntry:
        return commands_pb2.CancelRefundEntry(entry_id=str(self.refund_entry_id), booking_id=str(self.booking_id))

    def submit(self, must_succeed: bool = False) -> commands_pb2.SubmitRefund:
        return commands_pb2.SubmitRefund(refund_id=str(self.refund_id), must_succeed=must_succeed)

    def settle(self) -> commands_pb2.SettleRefundEntry:
        return commands_pb2.SettleRefundEntry(entry_id=str(self.refund_entry_id), refund_id=str(self.refund_id))


class SteppedWorker(worker.Worker):
    """A worker that a test brings on by hand."""

    async def claim(self, limit: int) -> list[Item]:
        """Takes what is due on lease."""
        due, _ = await store_errands.claim(self._database, self._timings.lease, limit)
        return due

    async def round(self) -> int:
        """Claims what is due and brings each item one step on; how many there were."""
        due = await self.claim(worker._AT_ONCE)
        await asyncio.gather(*map(self.step, due))
        return len(due)


class World:
    """The service's parts, put together as its composition root does, without a broker."""

    def __init__(self, database: Database, providers: Providers, provider: str, tax_percent: str = "0") -> None:
        self.database = database
        self.under_lock = UnderLock(database)
        self.providers = providers
        self.runner = self.worker()
        """By which orders are carried out as they come, once somebody has it run."""
        errands = self.runner.errands
        handlers = command_handlers(providers[provider].capabilities, Decimal(tax_percent), errands=errands)
        broker = cast(Broker, SimpleNamespace(service="payment"))
        self._consumer = command_consumer(database, broker, handlers)

    def worker(self, timings: Timings = QUICK) -> SteppedWorker:
        """A worker of its own, as a replica or a restarted process would have."""
        return SteppedWorker(self.database, UnderLock(self.database), self.providers, timings, Opener(KEY))

    async def order(self, payload: Message, attempt: int = 1, command_id: str = "") -> Said:
        """Delivers an order; the same order again is a copy of the same command. What was answered at once."""
        command_id = command_id or _command_id(payload)
        await self._consumer._handle([_message(payload, _command(payload, command_id, attempt))])
        stored = await self.rows("SELECT reply FROM inbox WHERE message_id = :id", id=command_id)
        return _said(stored[0].reply)

    async def order_along(self, *payloads: Message) -> list[Said]:
        """Delivers orders that come in one message; what was answered to each at once."""
        await self._consumer._handle([_along(payloads)])
        return [await self.answer(payload) for payload in payloads]

    async def order_together(self, *messages: Sequence[Message]) -> None:
        """Delivers messages that are at hand together, so in one transaction; each brings its orders along."""
        await self._consumer._handle([_along(payloads) for payloads in messages])

    async def answer(self, payload: Message) -> Said:
        """What the order is answered by now."""
        stored = await self.rows("SELECT reply FROM inbox WHERE message_id = :id", id=_command_id(payload))
        return _said(stored[0].reply)

    async def work(self, seconds: float = 60.0) -> None:
        """Steps a worker until nothing waits any more."""
        worker, deadline = self.worker(), time.monotonic() + seconds
        while await self.rows(WAITING):
            assert time.monotonic() < deadline, "something still waits"
            if not await worker.round():
                await asyncio.sleep(0.01)

    async def one_step(self, timings: Timings = QUICK) -> None:
        """Makes everything that waits due, and brings it one step on."""
        await self.run("UPDATE payments SET due_at = now() WHERE due_at IS NOT NULL")
        await self.run("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
        await self.worker(timings).round()

    async def run_out(self, sale: Sale) -> None:
        """Lets the time to pay be over."""
        await self.run("UPDATE payments SET deadline = now(), due_at = now() WHERE id = :id", id=sale.payment_id)

    async def paid(self, sale: Sale, test_value: str = "tok_success") -> Sale:
        """A sale whose payment was taken, and whose fee is in the ledger."""
        await self.order(sale.take(test_value))
        await self.work()
        assert (await self.answer(sale.take(test_value))).outcome == SUCCEEDED
        assert (await self.order(sale.fee())).outcome == SUCCEEDED
        return sale

    async def payment(self, sale: Sale) -> Payment:
        async with self.database.transaction() as tx:
            found = await find_payment(tx, sale.payment_id)
        assert found is not None
        return found

    async def refunds(self, sale: Sale) -> Sequence[Refund]:
        async with self.database.transaction() as tx:
            return await refunds_of(tx, sale.payment_id)

    async def entries(self, sale: Sale) -> Sequence[Row]:
        statement = "SELECT * FROM financial_entries WHERE booking_id = :id ORDER BY created_at, id"
        return await self.rows(statement, id=sale.booking_id)

    async def events(self, sale: Sale) -> list[str]:
        """Types of the events about a payment, in order."""
        found = await self.rows(
            "SELECT subject FROM outbox WHERE aggregate = :id AND subject LIKE 'petpro.events.%' ORDER BY id",
            id=str(sale.payment_id),
        )
        return [row.subject.removeprefix("petpro.events.") for row in found]

    async def rows(self, statement: str, **values: Any) -> Sequence[Row]:
        async with self.database.transaction() as tx:
            return (await tx.execute(text(statement), values)).all()

    async def somebody_waits(self) -> bool:
        """Whether a transaction of the test's database waits for a lock."""
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await self.rows(waiting))

    async def run(self, statement: str, **values: Any) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(text(statement), values)


def _command_id(order: Any) -> str:
    """One step of one saga: the kind of order, and what it is about."""
    about = getattr(order, "entry_id", "") or getattr(order, "refund_id", "") or order.payment_id
    return f"{order.DESCRIPTOR.name}-{about}"


def _along(payloads: Sequence[Message]) -> Msg:
    """A message with orders that go along with the first."""
    first, *others = (_command(payload, _command_id(payload), 1) for payload in payloads)
    for each in others:
        each.ahead = each.payload.Is(commands_pb2.SettleRefundEntry.DESCRIPTOR)
    first.next.extend(others)
    return _message(payloads[0], first)


def _message(payload: Message, command: saga_pb2.Command) -> Msg:
    subject = command_subject("payment", payload)
    return cast(Msg, SimpleNamespace(subject=subject, data=command.SerializeToString(), headers={}))


def _command(payload: Message, command_id: str, attempt: int) -> saga_pb2.Command:
    command = saga_pb2.Command(
        command_id=command_id,
        saga_id="0198f0a0-0000-7000-8000-000000000001",
        saga_type="checkout",
        step=payload.DESCRIPTOR.name,
        attempt=attempt,
        reply_to="petpro.replies.checkout",
    )
    command.payload.Pack(payload)
    return command


def _said(stored: bytes) -> Said:
    reply = saga_pb2.Reply.FromString(bytes(stored))
    return Said(reply.outcome, reply.reason, reply.payload.value)
