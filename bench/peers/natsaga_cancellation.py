"""The cancellation on natsaga and nats-outbox, run in the venv of requirements-natsaga.lock.

    orchestrator --outbox, relay--> JetStream --> participants --> JetStream --> listener --> orchestrator

Participants claim a command's id in the inbox of nats-outbox in the transaction of its effect, answer when that has
committed, and acknowledge last: a command that comes again changes nothing and is answered again. Nothing is ever
undone here, so nobody listens to the compensations; a saga that turned back would be counted as not ended.
"""

import asyncio
import json
import os
from contextlib import suppress
from uuid import NAMESPACE_URL, UUID, uuid5

import nats
import uvloop
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig
from nats_outbox.core.inbox import InboxDeduplicator
from nats_outbox.publishers.nats_publisher import NatsPublisher
from nats_outbox.relay.polling import PollingRelay
from nats_outbox.settings import OutboxSettings
from natsaga.core.saga import Saga
from natsaga.core.step import Step
from natsaga.listener import SagaListener
from natsaga.orchestrator import SagaOrchestrator
from natsaga.timeout_checker import TimeoutChecker
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.peers import steps, worker

ACK_WAIT_SECONDS = 5
"""Until a message that a killed process held comes again; natsaga's own default is 30."""
STEP_SECONDS = 120
POOL = 20
ROLE = os.environ["NATSAGA_ROLE"]
STATEMENTS = {name: text(statement) for name, statement in steps.statements(guarded=False).items()}
Sessions = async_sessionmaker[AsyncSession]


class Cancellation(Saga):
    saga_type = "cancellation"

    @classmethod
    def steps(cls) -> list[Step]:
        return [Step(name, f"peer.do.{name}", f"peer.undo.{name}", STEP_SECONDS) for name in steps.STEPS]


class Orchestrator(SagaOrchestrator):
    """Tells whoever waits that a saga has ended, once that has committed."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions)
        self.register(Cancellation)
        self._waiting: dict[UUID, asyncio.Event] = {}

    async def begin(self, number: int) -> None:
        """Starts a cancellation; one that was begun before is left to go on."""
        with suppress(IntegrityError):
            await self.start(Cancellation, {"number": number}, saga_id=_saga(number))

    async def run(self, number: int) -> None:
        """Starts a cancellation and waits for its end."""
        ended = self._waiting[_saga(number)] = asyncio.Event()
        await self.begin(number)
        await ended.wait()

    async def on_step_success(self, saga_id: UUID, step_index: int, result: dict[str, object]) -> None:
        await super().on_step_success(saga_id, step_index, result)
        if step_index == len(steps.STEPS) - 1 and saga_id in self._waiting:
            self._waiting.pop(saga_id).set()


class Participants:
    """Booking and payment in one: every command in a transaction of its own, as many at once as come."""

    def __init__(self, js: JetStreamContext, sessions: Sessions) -> None:
        self._js = js
        self._sessions = sessions
        self._at_work: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        config = ConsumerConfig(ack_wait=ACK_WAIT_SECONDS)
        await self._js.subscribe(
            "peer.do.*", stream="COMMANDS", durable="participants", config=config, cb=self._take, manual_ack=True
        )

    async def _take(self, message: Msg) -> None:
        task = asyncio.create_task(self._obey(message))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _obey(self, message: Msg) -> None:
        command = json.loads(message.data)
        number, step = command["saga_payload"]["number"], command["step_name"]
        if step == steps.SUBMIT:
            await steps.submit_refund(number)
        else:
            await self._write(step, number, UUID((message.headers or {})["Nats-Msg-Id"]))
        answer = f"{message.subject}.response.{command['saga_id']}.{command['step_index']}"
        await self._js.publish(answer, b'{"outcome": "success", "result": {}}')
        await message.ack()

    async def _write(self, step: str, number: int, command_id: UUID) -> None:
        async with self._sessions() as session, session.begin():
            if not await InboxDeduplicator(session, "clinic").is_duplicate(command_id):
                await session.execute(STATEMENTS[step], steps.parameters(number))


async def main() -> None:
    """One process with everything, or one half of it."""
    connection = await nats.connect(os.environ["PEER_NATS_URL"], max_reconnect_attempts=-1)
    js = connection.jetstream()
    url = os.environ["PEER_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    sessions = async_sessionmaker(create_async_engine(url, pool_size=POOL), expire_on_commit=False)
    await _make_streams(js)
    if ROLE != "orchestrator":
        await Participants(js, sessions).listen()
    orchestrator = Orchestrator(sessions)
    if ROLE == "participants":
        await worker.serve(orchestrator.run, orchestrator.begin)
        return
    settings = OutboxSettings(database_url=url, polling_interval=float(os.environ["NATSAGA_POLL_SECONDS"]))
    await SagaListener(js, orchestrator, "RESPONSES", ack_wait_seconds=ACK_WAIT_SECONDS).subscribe_all()
    relay = asyncio.create_task(PollingRelay(sessions, NatsPublisher(js), settings).start())
    async with TimeoutChecker(sessions, orchestrator):
        await worker.serve(orchestrator.run, orchestrator.begin)
    relay.cancel()


async def _make_streams(js: JetStreamContext) -> None:
    """As the server keeps streams unless told otherwise: in files, synced every two minutes."""
    await js.add_stream(StreamConfig(name="COMMANDS", subjects=["peer.do.*", "peer.undo.*"]))
    await js.add_stream(StreamConfig(name="RESPONSES", subjects=["peer.do.*.response.>", "peer.undo.*.response.>"]))


def _saga(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"cancellation:{number}")


if __name__ == "__main__":
    uvloop.run(main())
