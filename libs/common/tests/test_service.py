"""The life of a service: ready when it can work, and ended with an error when it could only work half."""

import asyncio
from pathlib import Path
from typing import ClassVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from devstack import testing
from devstack.ports import free_port
from petpro.notification.v1 import notification_pb2
from petpro_common import logs
from petpro_common.service import BackgroundFailed, Service
from petpro_common.settings import ServiceSettings
from petpro_common.testing import KeyRing, eventually
from petpro_common.testing.certificates import Authority


class Settings(ServiceSettings):
    service: ClassVar[str] = "notification"


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


async def health(address: str, name: str, seconds: float = 30, *, packed: bool = False) -> int:
    compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
    async with grpc.aio.insecure_channel(address, compression=compression) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # its stubs are not generated
        reply = await check(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=seconds)
        return int(reply.status)


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
