"""A service runs from its image and by its rendered manifests, where this machine can play them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from devstack.part import until
from devstack.running import RunningStack
from devstack.services import serves_health
from devstack.testing import StartStack, surroundings_of
from petpro.account.v1.account_pb2 import CreateTokenRequest
from petpro.account.v1.account_pb2_grpc import AccountServiceStub
from tests.k8s.playing import CannotPlay, Played, end, play, why_not

WHY_NOT = why_not("account")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
def stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres", "nats", "account"])


@pytest.fixture
async def account(stack: RunningStack, tmp_path: Path) -> AsyncIterator[Played]:
    """From its image; the stack's own is stopped, and has left a migrated database."""
    await stack.stop_part("account")
    try:
        played = await play(stack, "account", tmp_path)
    except CannotPlay as reason:
        pytest.skip(f"podman can start no container here: {reason}")
    yield played
    await end(tmp_path)


async def test_a_service_answers_from_its_image(stack: RunningStack, account: Played) -> None:
    await until(serves_health(account.grpc_address, "readiness"))
    admin = surroundings_of(stack).secrets.person("admin")
    async with aio.insecure_channel(account.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        answer = await AccountServiceStub(channel).CreateToken(CreateTokenRequest(**admin), timeout=10)
    assert answer.tokens.access_token.count(".") == 2

    kernel = await account.status()
    assert (kernel["Uid"].split(), kernel["Gid"].split()) == (["10001"] * 4, ["10001"] * 4)
    assert (int(kernel["CapEff"], 16), int(kernel["CapBnd"], 16), kernel["NoNewPrivs"]) == (0, 0, "1")
    assert (await account.inspect())["HostConfig"]["ReadonlyRootfs"] is True
    assert "Read-only file system" in (await account.run("touch", "/opt/petpro/anything")).stderr
    assert (await account.run("touch", "/tmp/anything")).returncode == 0  # noqa: S108 -- the container's
