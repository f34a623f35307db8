"""A booking service with messages that it has set aside, and Sari, who administrates it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats as nats_client
import orjson
import pytest
from grpc import aio
from sqlalchemy import text

from devstack import testing
from petpro.messaging.v1 import messages_pb2, messages_pb2_grpc
from petpro_common.context import Role
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.ids import new_id
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.events import Event, event_consumer
from petpro_common.messaging.servicer import ParkedMessageServicer
from petpro_common.testing import KeyRing, reason_of, serving

CLINIC, SARI = new_id(), new_id()
SECRET = "tok_of_dewi"
HANDLED, FAILED = messages_pb2.REDRIVE_OUTCOME_HANDLED, messages_pb2.REDRIVE_OUTCOME_FAILED
SUBJECT = "petpro.events.clinic.changed"
HEARD = "CREATE TABLE heard (version integer, note text CONSTRAINT notes_are_short CHECK (length(note) < 5))"
NOTHING_LEFT = "SELECT 1 FROM heard UNION ALL SELECT 1 FROM parked_messages"
FORESEEN, DISCARDED = messages_pb2.REDRIVE_OUTCOME_FORESEEN, messages_pb2.REDRIVE_OUTCOME_DISCARDED
Redriven = list[tuple[int, int]]


@dataclass
class Desk:
    """A booking service that hears of clinics, and Sari, who administrates it. Its broker is nowhere unless given."""

    database: Database
    keys: KeyRing
    fault: Exception | None = None
    at_work: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def on_clinic(self, tx: Transaction, event: Event) -> None:
        """Careless: asked twice, it hears twice."""
        await tx.execute(text("INSERT INTO heard VALUES (:version, :note)"), {"note": None, **event})
        self.at_work.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.is_cut_off.set()
            raise
        if self.fault:
            raise self.fault

    def consumer(self, broker: Broker | None = None) -> Consumer:
        away = Broker("booking", "nats://127.0.0.1:1", "")
        return event_consumer(self.database, broker or away, {"clinic.changed": self.on_clinic})

    async def served(self, *consumers: Consumer) -> Any:
        """The service's RPCs; each call makes a replica."""
        servicer = ParkedMessageServicer("booking", self.database, consumers)

        def register(server: aio.Server) -> None:
            messages_pb2_grpc.add_ParkedMessageServiceServicer_to_server(servicer, server)

        channel = await self.stack.enter_async_context(serving("booking", self.keys.verifier(), register))
        return messages_pb2_grpc.ParkedMessageServiceStub(channel)

    def signed_in(self, role: Role = Role.ADMIN) -> Any:
        return (("authorization", f"Bearer {self.keys.person(SARI, role)}"),)

    async def park(self, version: int, subject: str = SUBJECT, **more: Any) -> int:
        """What a consumer does with a message that it cannot handle; the message's number."""
        event = {"event_type": "clinic.changed", "clinic_id": str(CLINIC), "version": version, **more}
        return await park(self.database, subject, f"clinic {version}", orjson.dumps(event))

    async def rows(self, query: str) -> list[Any]:
        async with self.database.transaction() as tx:
            return [tuple(row) for row in (await tx.execute(text(query))).all()]


@asynccontextmanager
async def opened(database: Database, keys: KeyRing) -> AsyncIterator[Desk]:
    """A desk whose messages are handled without a pause."""
    made = Desk(database, keys)
    made.may_go_on.set()
    async with database.transaction() as tx:
        for statement in (HEARD, *IDEMPOTENCY_V1.split(";\n")):
            if statement.strip():
                await tx.execute(text(statement))
    async with made.stack:
        yield made


async def park(database: Database, subject: str, message_id: str, payload: bytes) -> int:
    headers = {"ce-id": message_id, "ce-type": "clinic.changed", "ce-subject": str(CLINIC), "who-knows": SECRET}
    headers["Nats-Msg-Id"] = message_id
    row = {"subject": subject, "message_id": message_id, "payload": payload, "headers": orjson.dumps(headers).decode()}
    statement = text("""
        INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error, tries)
        VALUES (:message_id, 'booking', :subject, CAST(:headers AS jsonb), :payload, 'KennelFull', 12) RETURNING id
    """)
    async with database.transaction() as tx:
        return int((await tx.execute(statement, row)).scalar_one())


async def redrive(desk: Desk, stub: Any, **asked: Any) -> Redriven:
    request = messages_pb2.RedriveParkedMessagesRequest(service="booking", reason="the kennel is larger now", **asked)
    reply = await stub.RedriveParkedMessages(request, metadata=desk.signed_in())
    return [(result.message.id, result.outcome) for result in reply.results]


async def discard(desk: Desk, stub: Any, **asked: Any) -> Redriven:
    request = messages_pb2.DiscardParkedMessagesRequest(service="booking", reason="nobody can read it", **asked)
    reply = await stub.DiscardParkedMessages(request, metadata=desk.signed_in())
    return [(result.id, result.outcome) for result in reply.results]


async def shown(desk: Desk, stub: Any, number: int) -> messages_pb2.ParkedMessage:
    request = messages_pb2.GetParkedMessageRequest(service="booking", id=number)
    message: messages_pb2.ParkedMessage = (await stub.GetParkedMessage(request, metadata=desk.signed_in())).message
    return message


async def refusal(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return reason_of(refused.value)


async def is_parked(desk: Desk) -> bool:
    return bool(await desk.rows("SELECT 1 FROM parked_messages"))


async def is_acknowledged(broker: Broker, many: int = 1) -> bool:
    """Whether so many events are done with, the first ones."""
    info = await broker.jetstream.consumer_info("PETPRO_EVENTS", "booking")
    return info.ack_floor is not None and info.ack_floor.stream_seq >= many


async def have_everything_delivered_again(
    nats: testing.Broker, stream: str = "PETPRO_EVENTS", service: str = "booking"
) -> None:
    """A consumer that is made anew begins at the first message."""
    connection = await nats_client.connect(nats.operator_url)
    await connection.jetstream().delete_consumer(stream, service)
    await connection.close()
