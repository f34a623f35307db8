"""The client that costs little speaks to a real gRPC server as any client does."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.wire import CallFailed, Connection, Reply, connect, grpc_body, grpc_headers

pytestmark = pytest.mark.unit

CHECK = "grpc.health.v1.Health/Check"


class Health(health_pb2_grpc.HealthServicer):
    """Serves what is asked for by name, refuses the unknown."""

    async def Check(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        if request.service == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        if request.service == "who asks":
            await context.abort(grpc.StatusCode.NOT_FOUND, dict(context.invocation_metadata())["x-name"])
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def ask(connection: Connection, address: str, name: str) -> "asyncio.Future[Reply]":
    body = grpc_body(health_pb2.HealthCheckRequest(service=name).SerializeToString())
    return connection.call(grpc_headers(address, CHECK, "token"), body, [("x-request-id", name * 50)])


async def test_many_calls_at_once_are_answered_each(address: str) -> None:
    connection = await connect(address)
    replies = [await ask(connection, address, "a") for _ in range(3)]
    replies += await asyncio.gather(*(ask(connection, address, "liveness") for _ in range(50)))
    connection.close()
    answers = [health_pb2.HealthCheckResponse.FromString(reply.message()) for reply in replies]
    assert {answer.status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}
    assert len(answers) == 53


async def test_a_refused_call_is_not_taken_for_an_answer(address: str) -> None:
    connection = await connect(address)
    reply = await ask(connection, address, "unknown")
    connection.close()
    assert not reply.ok
    with pytest.raises(CallFailed, match="no such service"):
        reply.message()


async def test_headers_that_recur_are_understood_also_after_others(address: str) -> None:
    connection = await connect(address)
    headers = {name: [*grpc_headers(address, CHECK), ("x-name", name)] for name in ("siti", "dewi")}
    body = grpc_body(health_pb2.HealthCheckRequest(service="who asks").SerializeToString())
    asked = ["siti", "siti", "siti", "dewi", "siti", "dewi", "dewi"]
    replies = [await connection.call(headers[name], body) for name in asked]
    connection.close()
    assert [name for reply in replies for name in headers if name.encode() in reply.end] == asked


async def test_a_connection_that_ended_takes_no_call(address: str) -> None:
    connection = await connect(address)
    assert (await ask(connection, address, "a")).ok
    connection.close()
    with pytest.raises(CallFailed, match="ended"):
        ask(connection, address, "a")
