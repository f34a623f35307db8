"""The service as a process of its own, with a database and a broker, and nobody else."""

import pytest
from grpc import aio

from devstack.running import RunningStack
from devstack.services import serves_health
from devstack.testing import StartStack, surroundings_of
from petpro.catalog.v1 import catalog_pb2 as pb
from petpro.catalog.v1.catalog_pb2_grpc import CatalogServiceStub
from petpro_common.auth import ServiceTokens
from services.catalog.tests.people import bearer, reason


@pytest.fixture(scope="module")
def alone(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres", "nats", "catalog"])


async def test_it_is_ready_and_answers_strangers_and_services(alone: RunningStack) -> None:
    keys = surroundings_of(alone).secrets.folder("booking")
    token = ServiceTokens("booking", (keys / "petpro_booking_service_key").read_text()).issue()
    address = alone.endpoints["services"]["catalog"]["grpc"]
    assert await serves_health(address, "readiness")()
    async with aio.insecure_channel(address) as channel:
        catalog = CatalogServiceStub(channel)
        assert list((await catalog.ListClinics(pb.ListClinicsRequest())).clinics) == []
        nobody = pb.GetStaffRequest(staff_id="019a3c6e-0000-7000-8000-000000000000")
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.GetStaff(nobody, metadata=bearer(token))
        assert reason(refused.value) == "STAFF_NOT_FOUND"
