"""The life of a service: ready when it can work, and ended with an error when it could only work half."""

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
import nats as nats_client
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.msg import Msg
from pydantic import SecretStr
from sqlalchemy import text

from devstack import testing
from devstack.ports import free_port
from libs.common.tests.lives import Caller, Settings, health, put_at
from petpro.notification.v1 import notification_pb2
from petpro_common import logs
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.subjects import EVENTS
from petpro_common.service import BackgroundFailed, Service
from petpro_common.service_keys import BadServiceKey
from petpro_common.testing import KeyRing, eventually
from petpro_common.testing.certificates import Authority
from petpro_common.versions import versions_of


@pytest.fixture
async def settings(database: testing.MakeDatabase, nats: testing.Broker, tmp_path: Path) -> Settings:
    made = await database("notification")
    keys = KeyRing(tmp_path)
    return Settings(
        grpc_address=f"127.0.0.1:{free_port()}",
        metrics_address=f"127.0.0.1:{free_port()}",
        database_url=made.url,
        database_password=SecretStr(made.password),
        nats_url=nats.url,
        nats_password=SecretStr(nats.passwords["notification"]),
        account_address="127.0.0.1:1",
        service_jwks_file=keys.service_jwks_file,
        service_key=SecretStr(keys.service_key("notification")),
        drain_seconds=0.1,
    )


async def test_it_stays_ready_while_the_broker_is_away(
    settings: Settings, start_own_stack: testing.StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    stack = start_own_stack(["nats"])
    nats = testing.broker(stack)
    own = {"nats_url": nats.url, "nats_password": SecretStr(nats.passwords["notification"])}
    async with Service("petpro_notification", settings.model_copy(update=own)) as service:
        serving = asyncio.create_task(service.serve())

        async def is_ready() -> bool:
            return await health(settings.grpc_address, "readiness") == health_pb2.HealthCheckResponse.SERVING

        await eventually(is_ready)
        await stack.kill("nats")
        await eventually(lambda: not service.broker.is_connected)
        await asyncio.sleep(1.5)  # it is looked at every second
        assert await is_ready()
        service._stopping.set()
        await serving


async def test_it_stays_ready_while_callers_have_all_connections(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    async with Service("petpro_notification", settings.model_copy(update={"database_pool_size": 1})) as service:
        serving = asyncio.create_task(service.serve())

        async def is_ready() -> bool:
            return await health(settings.grpc_address, "readiness") == health_pb2.HealthCheckResponse.SERVING

        await eventually(is_ready)
        async with service.database.transaction() as tx:
            await tx.execute(text("SELECT 1"))
            until = time.monotonic() + 6
            while time.monotonic() < until:
                assert await is_ready()
                await asyncio.sleep(0.1)
        service._stopping.set()
        await serving


@pytest.mark.parametrize("fault", [RuntimeError("the kennel has burnt down"), asyncio.CancelledError()])
async def test_it_becomes_ready_and_a_background_fault_ends_it_with_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    assert notification_pb2.DESCRIPTOR.package == "petpro.notification.v1", "reflection needs the contract loaded"
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # the log is pytest's own here
    break_down = asyncio.Event()

    async def work() -> None:
        await break_down.wait()
        raise fault

    async with Service("petpro_notification", settings) as service:
        service.background(work())
        serving = asyncio.create_task(service.serve())

        async def is_ready() -> bool:
            return await health(settings.grpc_address, "readiness") == health_pb2.HealthCheckResponse.SERVING

        await eventually(is_ready)
        assert await health(settings.grpc_address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        break_down.set()
        with pytest.raises(BackgroundFailed):
            await serving


async def test_a_key_that_others_would_not_believe_ends_it_at_its_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    (tmp_path / "elsewhere").mkdir()
    for held in ("woof", KeyRing(tmp_path / "elsewhere").service_key("notification")):
        with pytest.raises(BadServiceKey):
            Service("petpro_notification", settings.model_copy(update={"service_key": SecretStr(held)}))


async def test_with_certificates_probes_are_answered_in_clear_text_and_nobody_else(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    folder = Authority().issue(tmp_path / "tls")
    more = {"tls_folder": str(folder), "probe_address": f"127.0.0.1:{free_port()}"}
    told = settings.model_copy(update=more)
    async with Service("petpro_notification", told) as service:
        served = asyncio.create_task(service.serve())
        assert await health(told.probe_address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as packed:
            await health(told.probe_address, "liveness", packed=True)
        assert packed.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError):
            await health(told.grpc_address, "liveness", seconds=5)
        async with service.channel(told.grpc_address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # as above
            reply = await check(health_pb2.HealthCheckRequest(service="liveness"), wait_for_ready=True)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        service._stopping.set()
        await served


async def test_told_to_stop_it_lets_workers_have_their_answers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    caller = Caller()
    async with Service("petpro_notification", settings) as service:
        service.work(caller)
        serving = asyncio.create_task(service.serve())
        assert await health(settings.grpc_address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        await caller.asks.wait()
        signal.raise_signal(signal.SIGTERM)
        await caller.is_drained.wait()
        await asyncio.sleep(0.3)
        assert not serving.done()
        with pytest.raises(grpc.aio.AioRpcError):
            await health(settings.grpc_address, "liveness", seconds=0.5)
        caller.is_answered.set()
        await serving
        assert caller.outcome == "answered"


async def test_told_to_stop_it_ends_in_time_whoever_hangs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    caller, others = Caller(), Caller()
    others.is_answered.set()
    async with Service("petpro_notification", settings.model_copy(update={"stop_seconds": 1.0})) as service:
        service.work(caller)
        service.work(others)
        serving = asyncio.create_task(service.serve())
        assert await health(settings.grpc_address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        await caller.asks.wait()
        signal.raise_signal(signal.SIGTERM)
        began = time.monotonic()
        await serving
        assert 1.0 <= time.monotonic() - began < 10.0
    assert (caller.outcome, others.outcome) == ("cut off", "answered")


async def test_workers_are_drained_when_nobody_hands_anything_over_to_them_any_more(
    settings: Settings, nats: testing.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    has_come, may_end = asyncio.Event(), asyncio.Event()
    handled: list[str] = []

    async def handle(messages: Sequence[Msg]) -> None:
        has_come.set()
        await may_end.wait()
        handled.extend(message.subject for message in messages)

    worker = Caller()
    worker.is_answered.set()
    told = settings.model_copy(update={"drain_seconds": 60.0, "stop_seconds": 60.0})
    async with Service("petpro_notification", told) as service:
        consumer = Consumer(
            *(service.database, service.broker, EVENTS, ["petpro.events.kennel.opened"]), handle, lambda m: m.subject
        )
        service.consume(consumer)
        service.work(worker)
        serving = asyncio.create_task(service.serve())
        await service.broker.until_connected()
        connection = await nats_client.connect(nats.operator_url)
        await connection.jetstream().publish("petpro.events.kennel.opened", b"{}")
        await connection.close()
        await has_come.wait()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert not worker.is_drained.is_set()
        may_end.set()
        await serving
    assert (handled, worker.is_drained.is_set()) == (["petpro.events.kennel.opened"], True)


async def test_a_replica_takes_no_work_before_its_database_is_migrated(
    settings: Settings, nats: testing.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    handled: list[str] = []

    async def handle(messages: Sequence[Msg]) -> None:
        handled.extend(message.subject for message in messages)

    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()

    worker = Caller()
    worker.is_answered.set()
    await put_at(settings, "0001")
    async with Service("petpro_notification", settings) as service:
        consumer = Consumer(
            *(service.database, service.broker, EVENTS, ["petpro.events.kennel.opened"]), handle, lambda m: m.subject
        )
        service.consume(consumer)
        service.work(worker)
        service.background(begin())
        serving = asyncio.create_task(service.serve())
        await service.broker.until_connected()
        connection = await nats_client.connect(nats.operator_url)
        await connection.jetstream().publish("petpro.events.kennel.opened", b"{}")
        await connection.close()
        await asyncio.sleep(1.5)
        assert (handled, worker.asks.is_set(), begun.is_set()) == ([], False, False)
        await put_at(settings, versions_of("petpro_notification")[-1])
        await eventually(lambda: bool(handled) and worker.asks.is_set() and begun.is_set())
        service._stopping.set()
        await serving


async def test_told_to_stop_before_its_database_is_migrated_it_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    worker, other = Caller(), Caller()
    await put_at(settings, "0001")
    async with Service("petpro_notification", settings) as service:
        service.work(worker)
        service.background(other.run())
        serving = asyncio.create_task(service.serve())
        assert await health(settings.grpc_address, "readiness") == health_pb2.HealthCheckResponse.NOT_SERVING
        service._stopping.set()
        async with asyncio.timeout(10):
            await serving
    assert (worker.asks.is_set(), other.asks.is_set()) == (False, False)
