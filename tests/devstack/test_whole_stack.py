"""The whole platform: what stack.json says is true, and every part can die and come back alone."""

import httpx
import psycopg
import pytest

from devstack.layout import SERVICES
from devstack.process import is_running
from devstack.running import RunningStack
from devstack.services import serves_health
from devstack.stack import PARTS


async def test_every_part_is_ready_and_its_process_lives(stack: RunningStack) -> None:
    assert set(stack.endpoints["parts"]) == set(PARTS)
    for part in PARTS:
        pid = stack.pid(part)
        assert stack.state(part) == "ready"
        assert pid is not None
        assert is_running(pid)


@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_said_of_a_service_is_true(stack: RunningStack, service: str) -> None:
    said = stack.endpoints["services"][service]
    for name in ("liveness", "readiness", ""):
        assert await serves_health(said["grpc"], name)()
    async with httpx.AsyncClient() as client:
        assert "# TYPE" in (await client.get(said["metrics"])).text
    async with await psycopg.AsyncConnection.connect(said["dsn"]) as connection:
        cursor = await connection.execute("SELECT current_user, current_database()")
        assert await cursor.fetchone() == (f"petpro_{service}", f"petpro_{service}")
    assert said["pid"] == stack.pid(service)


async def test_the_administrator_of_stack_json_signs_in_through_the_gateway(stack: RunningStack) -> None:
    admin = stack.endpoints["users"]["admin"]
    async with httpx.AsyncClient(base_url=stack.gateway_url) as client:
        answer = await client.post("/v1/auth/token", json=admin)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["tokens"]["access_token"]


async def test_every_part_can_be_killed_and_started_alone(own_stack: RunningStack) -> None:
    for part in PARTS:
        others = {other: own_stack.pid(other) for other in PARTS if other != part}
        address = own_stack.endpoints["parts"][part]["address"]
        await own_stack.kill(part)
        assert own_stack.pid(part) is None
        await own_stack.start_part(part)
        assert own_stack.state(part) == "ready"
        assert own_stack.endpoints["parts"][part]["address"] == address
        assert {other: own_stack.pid(other) for other in others} == others
    for service in SERVICES:
        assert await serves_health(own_stack.endpoints["services"][service]["grpc"], "liveness")()
