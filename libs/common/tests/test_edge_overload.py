"""The edge again, when more comes than can be done: what is refused, what is given up, and who is still answered."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from libs.common.tests.test_edge import Pets, ask, bearer, refused
from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro_common import rpc
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, eventually, reason_of, serving

pytestmark = pytest.mark.unit

SECRET = "the kennel's safe is behind the picture"


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def pets() -> Pets:
    return Pets()  # type: ignore[abstract]  # the other RPCs are not asked for


class SlowPets(Pets):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def GetPet(self, request: account_pb2.GetPetRequest, grpc_context: Any) -> Any:  # noqa: N802
        self.asked += 1
        await self.may_answer.wait()
        return await super().GetPet(request, grpc_context)


async def test_too_many_calls_at_once_are_refused_unread_and_probes_are_not(keys: KeyRing) -> None:
    pets = SlowPets()  # type: ignore[abstract]  # the other RPCs are not asked for

    def register(server: aio.Server) -> None:
        account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)

    async with serving("account", keys.verifier(), register, most_calls=3) as channel:
        stub = account_pb2_grpc.PetServiceStub(channel)
        in_hand = [asyncio.ensure_future(ask(stub)) for _ in range(3)]
        await eventually(lambda: pets.asked == 3)
        fault = await refused(ask(stub, pet_id="what nobody reads breaks no rule"))
        prober: Any = health_pb2_grpc.HealthStub(channel)
        probe = await prober.Check(health_pb2.HealthCheckRequest())
        pets.may_answer.set()
        await asyncio.gather(*in_hand)
        after = await ask(stub)

    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    status = rpc_status.from_call(fault)  # type: ignore[arg-type]  # it has what a Call has
    assert status is not None
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
    assert probe.status == health_pb2.HealthCheckResponse.SERVING
    assert after.pet.id


async def outcomes(keys: KeyRing, pets: Pets, calls: int, seconds: float, timeout: float) -> Counter[grpc.StatusCode]:
    """What becomes of calls that come over so long, from outside of the event loop that they keep busy."""
    server = rpc.server(rpc.Edge("account", keys.verifier()))
    account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def ask_all() -> Counter[grpc.StatusCode]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            get_pet: Any = account_pb2_grpc.PetServiceStub(channel).GetPet
            request, metadata = account_pb2.GetPetRequest(pet_id=str(new_id())), bearer(keys.service("booking"))
            asked = []
            for _ in range(calls):
                asked.append(get_pet.future(request, metadata=metadata, timeout=timeout))
                time.sleep(seconds / calls)
            return Counter(call.code() for call in asked)

    found = await asyncio.to_thread(ask_all)
    await server.stop(0)
    return found


async def test_what_waits_unread_for_long_is_given_up(
    keys: KeyRing, pets: Pets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four seconds of work come at once."""
    monkeypatch.setattr(rpc, "_LONGEST_UNREAD_SECONDS", 2)
    pets.do = lambda: time.sleep(0.08)
    found = await outcomes(keys, pets, calls=50, seconds=0, timeout=60)
    assert found.keys() == {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
    assert found[grpc.StatusCode.OK] >= 5


async def test_in_an_overload_that_lasts_all_work_is_for_callers_who_still_wait(
    keys: KeyRing, pets: Pets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times as much as can be done: twelve seconds of work in four, and nobody waits for longer than five."""
    monkeypatch.setattr(rpc, "_LONGEST_UNREAD_SECONDS", 1)
    begun: list[float] = []

    def work() -> None:
        begun.append(time.monotonic())
        time.sleep(0.02)

    pets.do = work
    found = await outcomes(keys, pets, calls=600, seconds=4, timeout=5)
    assert found[grpc.StatusCode.CANCELLED] > 0
    assert found[grpc.StatusCode.OK] >= 0.9 * len(begun)
