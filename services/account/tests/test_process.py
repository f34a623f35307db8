"""The service as a process of its own, with a database and a broker, and nobody else."""

import json

import nats as nats_client
import pytest
from grpc import aio

from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from petpro.account.v1 import account_pb2 as pb
from petpro.account.v1.account_pb2_grpc import AccountServiceStub, PetServiceStub
from services.account.tests.people import PASSWORD, bearer


@pytest.fixture(scope="module")
def alone(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(["postgres", "nats", "account"])


async def test_the_administrator_is_there_as_soon_as_the_service_is(alone: RunningStack) -> None:
    admin = alone.endpoints["users"]["admin"]
    async with aio.insecure_channel(alone.endpoints["services"]["account"]["grpc"]) as channel:
        accounts = AccountServiceStub(channel)
        request = pb.CreateTokenRequest(email=admin["email"], password=admin["password"])
        token = (await accounts.CreateToken(request)).tokens.access_token
        profile = await accounts.GetCurrentUser(pb.GetCurrentUserRequest(), metadata=bearer(token))
    assert profile.user.role == pb.ROLE_ADMIN


async def test_a_person_and_a_pet_are_told_to_the_others(alone: RunningStack) -> None:
    connection = await nats_client.connect(surroundings_of(alone).nats.operator_url)
    events = await connection.subscribe("petpro.events.>")
    await connection.flush()
    async with aio.insecure_channel(alone.endpoints["services"]["account"]["grpc"]) as channel:
        accounts = AccountServiceStub(channel)
        sari = pb.CreateUserRequest(
            email="sari@petpro.example", password=PASSWORD, full_name="Sari Dewi", phone_number="+628123456789"
        )
        user = (await accounts.CreateUser(sari)).user
        sign_in = pb.CreateTokenRequest(email=sari.email, password=PASSWORD)
        token = (await accounts.CreateToken(sign_in)).tokens.access_token
        request = pb.CreatePetRequest(pet=pb.Pet(name="Miko", species="cat"))
        pet = (await PetServiceStub(channel).CreatePet(request, metadata=bearer(token))).pet
    heard: list[dict[str, object]] = []
    while len(heard) < 3:
        event = json.loads((await events.next_msg(timeout=60)).data)
        heard += [event] if event["user_id"] == user.id else []
    await connection.close()
    heard.sort(key=lambda event: str(event["event_type"]))
    asked = heard.pop(1)
    assert asked["event_type"] == "user.email_verification_requested"
    assert asked.keys() == {"event_type", "user_id", "verification_id"}
    assert heard == [
        {"event_type": "pet.changed", "pet_id": pet.id, "user_id": user.id, "is_deleted": False, "version": 1},
        {"event_type": "user.registered", "user_id": user.id},
    ]
