"""One Envoy in front of one process of small services, for all tests of the gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from grpc import aio

from devstack.ports import free_port
from petpro_gateway.descriptors import Contracts, read_contracts
from petpro_gateway.policy import Bucket, Policy, read_policy
from services.gateway.tests.edge import SERVICES, Edge, running
from services.gateway.tests.servicers import Upstream, token

POLICY = Path(__file__).parents[1] / "policy.yaml"
LIST_BOOKINGS = "petpro.booking.v1.BookingService/ListBookings"
REFRESH = "petpro.account.v1.AccountService/RefreshToken"


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    return read_contracts()


@pytest.fixture(scope="session")
def policy(contracts: Contracts) -> Policy:
    """The policy that ships, except for what would make the tests slow."""
    shipped = read_policy(POLICY, contracts)
    return shipped.model_copy(
        update={
            "tokens": shipped.tokens.model_copy(update={"refresh_keys_seconds": 1, "keep_keys_seconds": 1}),
            "timeouts": shipped.timeouts.model_copy(update={"methods": {LIST_BOOKINGS: 1}}),
            "rate_limits": shipped.rate_limits.model_copy(
                update={"per_address": {REFRESH: Bucket(burst=3, per_second=1)}}
            ),
        }
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def upstream() -> AsyncIterator[Upstream]:
    services = Upstream()
    server, services.address = await services.serve()
    yield services
    await server.stop(None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def edge(policy: Policy, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """Every service is there except notification, which is away."""
    addresses = dict.fromkeys(SERVICES, upstream.address) | {"notification": f"127.0.0.1:{free_port()}"}
    async with running(policy, addresses, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def web(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """A client that speaks HTTP and JSON and has not signed in."""
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def dewi(upstream: Upstream) -> dict[str, str]:
    """The headers of a customer who has signed in."""
    return {"authorization": f"Bearer {token(upstream.keys[0])}"}


@pytest_asyncio.fixture(loop_scope="session")
async def channel(edge: Edge) -> AsyncIterator[aio.Channel]:
    """A client that speaks gRPC."""
    async with aio.insecure_channel(edge.address, options=[("grpc.enable_http_proxy", 0)]) as connected:
        yield connected
