"""The life of a service: start, ready, drain, stop.

    async with Service("petpro_booking", settings) as service:
        ...                      # the composition root adds servicers, consumers and background tasks
        await service.serve()    # until SIGTERM or SIGINT

Health (grpc.health.v1): `liveness` is SERVING while the process runs; `readiness` and the empty name are SERVING while
the database answers and has what the code needs, once NATS has been connected; when NATS goes later on, calls are
answered and their messages wait in the outbox. Consumers, workers, the relay and all in the background begin when the
database has what the code needs: until then replicas of the version before serve on, and do what this one would only
fail at.

On SIGTERM nothing new is taken on, and what is in hand ends in this order. What has not ended so many seconds after
the signal is cancelled:

| what | how it ends | seconds |
|---|---|---|
| readiness | at once, and streams with a word to come back | 0 |
| calls, and messages of consumers | what is in hand; messages that were only fetched go back | `drain_seconds` |
| workers, who call somebody outside | with the answers that they wait for written down | `stop_seconds` |
| the relay | with what was committed until now published, and marked | 2 more |
| all other tasks, then connections | at once: they are transactions, and roll back | some more |

Workers are told when calls and messages have ended, since these hand work over to them.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import structlog
import uvloop
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.messaging.v1 import messages_pb2, messages_pb2_grpc
from petpro.personal.v1 import personal_pb2, personal_pb2_grpc
from petpro_common import (
    channels,
    draining,
    faults,
    housekeeping,
    kill_points,
    logs,
    memory,
    rpc,
    saturation,
    tasks,
    telemetry,
    versions,
)
from petpro_common.auth import ServiceTokens, Verifier
from petpro_common.db import Database
from petpro_common.faults import OwnWords
from petpro_common.messaging import parked
from petpro_common.messaging.backlog import Backlog
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.relay import Relay
from petpro_common.messaging.servicer import ParkedMessageServicer
from petpro_common.personal.held import Held
from petpro_common.personal.servicer import PersonalDataServicer
from petpro_common.readiness import Readiness
from petpro_common.settings import ServiceSettings

LIVENESS = "liveness"
READINESS = "readiness"
_READY_EVERY_SECONDS = 1.0
_FIRST_LOOKS = 30
_FIRST_LOOKS_EVERY_SECONDS = 0.1
_LAST_MESSAGES_SECONDS = 2.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_log = structlog.get_logger()


class BackgroundFailed(OwnWords, RuntimeError):
    """The service has drained and ends with an error, because it would have run half alive."""


class Service:
    """Everything that a service's composition root builds upon. `held` are its tables that are about people.

    Raises BadServiceKey.
    """

    def __init__(self, package: str, settings: ServiceSettings, held: Sequence[Held] = ()) -> None:
        self.name = settings.service
        self.settings = settings
        memory.hoard_nothing()
        logs.configure(self.name, settings.log_level)
        telemetry.configure_tracing(self.name, settings.otlp_endpoint)
        kill_points.arm(settings.kill_at, settings.kill_on)
        self.database = self._open(settings.database_url)
        self.sessions = self._open(settings.database_session_url) if settings.database_session_url else self.database
        """The same without a pooler between, for LISTEN and for locks of sessions."""
        self.broker = Broker(
            self.name,
            settings.nats_url,
            settings.nats_password.get_secret_value(),
            settings.nats_replicas,
            tls_folder=settings.tls_folder,
        )
        self.tokens = ServiceTokens(self.name, settings.service_key.get_secret_value())
        self.verifier = Verifier(settings.service_jwks_file, self._account_keys)
        self.verifier.require_known(self.tokens)
        edge = rpc.Edge(self.name, self.verifier, settings.most_calls, settings.most_streams)
        self.server = rpc.server(edge)
        saturation.CALLS_IN_HAND.set_function(lambda: edge.calls.in_hand)
        saturation.STREAMS_OPEN.set_function(lambda: edge.streams.in_hand)
        saturation.watch_pool(self.database.pool, settings.database_pool_size)
        self._account = self.channel(settings.account_address)
        self._package = package
        self._readiness = Readiness(self.database, self.sessions, package)
        self._held = held
        self._health = health.aio.HealthServicer()
        self._probes = aio.server(options=rpc.WHAT_IS_TAKEN)
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[Consumer] = []
        self._consuming = draining.Stage("consumers")
        self._working = draining.Stage("workers")
        self._relaying = draining.Stage("relay")
        self._before_stop: list[Callable[[], None]] = []
        self._stopping = asyncio.Event()
        self._migrated = asyncio.Event()
        self._failed = self._is_ending = False

    async def __aenter__(self) -> Self:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        operators = ParkedMessageServicer(self.name, self.database, self._consumers)
        messages_pb2_grpc.add_ParkedMessageServiceServicer_to_server(operators, self.server)
        personal = PersonalDataServicer(self.name, self.database, self._held)
        personal_pb2_grpc.add_PersonalDataServiceServicer_to_server(personal, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
        await self._health.set(LIVENESS, _SERVING)
        await self._set_readiness(ready=False)
        self._start(self.broker.run())
        self._start(self._watch_readiness())
        self._start(memory.keep_giving_back())
        self._start(saturation.watch_event_loop())
        relay = Relay(self.database, self.broker, self.sessions)
        self._relaying.add(relay, self.background(relay.run()))
        self.background(relay.hear())
        self.background(Backlog(self.database, self.settings.outbox_limit).run())
        self.background(housekeeping.run_purges(self.database))
        self.background(saturation.keep_looking("parked messages", lambda: parked.look(self.database)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ending = True
        await tasks.end(self._tasks)
        await self.broker.close()
        await self._account.close()
        await self.sessions.close()
        await self.database.close()

    @property
    def account_channel(self) -> Any:
        """The channel to account, which every service has for its keys."""
        return self._account

    def channel(self, address: str) -> aio.Channel:
        """A channel to another service, for idempotent reads; whoever opens it closes it."""
        return channels.channel(address, self.tokens, tls_folder=self.settings.tls_folder)

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs `work` from when the database is migrated until the service stops.

        Work that ends by a fault ends the service: it would run half alive. So does work that is cancelled from within:
        a library may cancel what is waited for.
        """
        task = self._start(self._once_migrated(work))
        task.add_done_callback(lambda _: work.close())  # it may never have begun
        return task

    def work(self, worker: draining.Worker) -> None:
        """Runs a worker as `background` does, but that calls to somebody outside, which it has in hand, may end."""
        self._working.add(worker, self.background(worker.run()))

    def consume(self, consumer: Consumer) -> None:
        """Runs a consumer as `background` does; what it sets aside can be redriven."""
        self._consumers.append(consumer)
        self._consuming.add(consumer, self.background(consumer.run()))
        self.background(saturation.keep_looking("consumer lag", consumer.look))

    def before_stop(self, work: Callable[[], None]) -> None:
        """Has `work` done when the service drains, before it waits for the calls in hand: for what ends streams."""
        self._before_stop.append(work)

    async def serve(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains. Raises BackgroundFailed when it was a fault that ended it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._add_reflection()
        telemetry.BUILD.labels(version(f"petpro-{self.name}"), versions.versions_of(self._package)[-1]).set(1)
        telemetry.serve_metrics(self.settings.metrics_address)
        memory.freeze()
        rpc.listen(self.server, self.settings.grpc_address, tls_folder=self.settings.tls_folder)
        await self.server.start()
        if self.settings.probe_address:
            rpc.listen(self._probes, self.settings.probe_address)
            await self._probes.start()
        _log.info("serving", address=self.settings.grpc_address)
        await self._stopping.wait()
        await self._drain()
        if self._failed:
            raise BackgroundFailed("a background task has failed; see the log")

    async def _drain(self) -> None:
        """Ends what is in hand, in the order that the module describes."""
        _log.info("draining")
        now = asyncio.get_running_loop().time
        until = now() + self.settings.stop_seconds
        await self._set_readiness(ready=False)
        for work in self._before_stop:
            work()
        seconds = min(self.settings.drain_seconds, self.settings.stop_seconds)
        await asyncio.gather(self.server.stop(seconds), self._consuming.drain(seconds))
        await self._working.drain(until - now())
        await self._relaying.drain(_LAST_MESSAGES_SECONDS)
        await self._probes.stop(None)
        _log.info("stopped")

    async def _once_migrated(self, work: Coroutine[Any, Any, None]) -> None:
        await tasks.first_of(self._migrated.wait(), self._stopping.wait())
        if not self._stopping.is_set():
            await work

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._on_task_done)
        self._tasks.append(task)
        return task

    def _open(self, url: str) -> Database:
        settings = self.settings
        return Database(url, settings.database_password_now, settings.database_pool_size, settings.plans_by_key)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        is_cut_off = task.cancelled() and self._stopping.is_set()
        if fault is not None and not self._is_ending and not is_cut_off:
            _log.error("background task failed; stopping", exc_info=fault)
            self._failed = True
            self._stopping.set()

    def _add_reflection(self) -> None:
        own = descriptor_pool.Default().FindFileByName(f"petpro/{self.name}/v1/{self.name}.proto")
        shared = messages_pb2.DESCRIPTOR, personal_pb2.DESCRIPTOR
        names = [service.full_name for file in (own, *shared) for service in file.services_by_name.values()]
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), self.server)

    async def _account_keys(self) -> list[dict[str, Any]]:
        reply = await account_pb2_grpc.AccountServiceStub(self._account).GetJwks(account_pb2.GetJwksRequest())
        return [{field.name: value for field, value in key.ListFields()} for key in reply.keys]

    async def _watch_readiness(self) -> None:
        """Looks at the database each second; more often while it is about to begin, or to come back."""
        looks = 0
        while True:
            if is_migrated := await self._readiness.look():
                self._migrated.set()
            ready = is_migrated and self.broker.has_connected
            await self._set_readiness(ready and not self._stopping.is_set())
            looks = 0 if ready else looks + 1
            await asyncio.sleep(_FIRST_LOOKS_EVERY_SECONDS if 0 < looks <= _FIRST_LOOKS else _READY_EVERY_SECONDS)

    async def _set_readiness(self, ready: bool) -> None:
        telemetry.READY.set(ready)
        for name in (READINESS, ""):
            await self._health.set(name, _SERVING if ready else _NOT_SERVING)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a service's main on uvloop."""
    uvloop.run(_watched(main))


async def _watched(main: Coroutine[Any, Any, None]) -> None:
    faults.catch_what_nobody_awaits(asyncio.get_running_loop())
    await main
