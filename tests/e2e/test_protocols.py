"""The same calls over HTTP/JSON, native gRPC and gRPC-Web, on one port."""

import asyncio
import struct
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from tests.world import World

TRAILERS = 0x80


@pytest.fixture
async def channel(world: World) -> AsyncIterator[aio.Channel]:
    address = world.stack.gateway_url.removeprefix("http://")
    async with aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as opened:
        yield opened


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _error_info(error: aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    details = next(value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin")
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


async def test_native_grpc_says_the_same_as_json(world: World, channel: aio.Channel) -> None:
    clinic, person = await asyncio.gather(world.clinic(), world.customer())
    metadata = _bearer(person.token)
    me = await account_pb2_grpc.AccountServiceStub(channel).GetCurrentUser(
        account_pb2.GetCurrentUserRequest(), metadata=metadata, timeout=5
    )
    assert me.user.id == person.id == (await person.api.get("/v1/users/me"))["user"]["id"]
    shown = await catalog_pb2_grpc.CatalogServiceStub(channel).GetClinic(
        catalog_pb2.GetClinicRequest(clinic_id=clinic.id), timeout=5
    )
    assert shown.clinic.name == (await world.visitor.get(f"/v1/clinics/{clinic.id}"))["clinic"]["name"]
    await world.hold(person, clinic.slot(1))
    held = await booking_pb2_grpc.ReservationServiceStub(channel).CreateReservation(
        booking_pb2.CreateReservationRequest(slot_id=clinic.slot(), pet_id=person.pet_id, request_id="once"),
        metadata=metadata,
        timeout=5,
    )
    assert (await world.reservation(person, held.reservation.id))["slot_id"] == clinic.slot()


async def test_a_refusal_over_grpc_carries_its_reason(world: World, channel: aio.Channel) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=1), world.customer())
    await world.hold(person, clinic.slot())
    reservations = booking_pb2_grpc.ReservationServiceStub(channel)
    wanted = booking_pb2.CreateReservationRequest(slot_id=clinic.slot(), pet_id=person.pet_id)
    with pytest.raises(aio.AioRpcError) as refusal:
        await reservations.CreateReservation(wanted, metadata=_bearer(person.token), timeout=5)
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (_error_info(refusal.value).reason, _error_info(refusal.value).domain) == ("SLOT_FULL", "booking.petpro")
    with pytest.raises(aio.AioRpcError) as refusal:
        await reservations.CreateReservation(wanted, timeout=5)
    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_is_internal_cannot_be_called_from_outside(world: World, channel: aio.Channel) -> None:
    person = await world.customer()
    with pytest.raises(aio.AioRpcError) as refusal:
        await account_pb2_grpc.AccountServiceStub(channel).GetUser(
            account_pb2.GetUserRequest(user_id=person.id), metadata=_bearer(person.token), timeout=5
        )
    assert refusal.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND)


async def _grpc_web(world: World, method: str, message: bytes, token: str = "") -> tuple[bytes, dict[str, str]]:
    """Call as a browser's gRPC-Web client would: the answer's message and its trailers."""
    answer: httpx.Response = await world.visitor.signed_in(token).send(
        "POST",
        f"/{method}",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"},
    )
    assert answer.status_code == 200, answer.text
    body, found, trailers = answer.content, b"", dict(answer.headers)
    while body:
        kind, size = struct.unpack(">BI", body[:5])
        frame, body = body[5 : 5 + size], body[5 + size :]
        if kind & TRAILERS:
            trailers |= dict(line.split(":", 1) for line in frame.decode().strip().splitlines())
        else:
            found = frame
    return found, {name.strip(): value.strip() for name, value in trailers.items()}


async def test_grpc_web_says_the_same_as_json(world: World) -> None:
    person = await world.customer()
    request = account_pb2.ListPetsRequest(page_size=5).SerializeToString()
    answer, trailers = await _grpc_web(world, "petpro.account.v1.PetService/ListPets", request, person.token)
    assert trailers["grpc-status"] == "0"
    pets = account_pb2.ListPetsResponse.FromString(answer).pets
    assert [pet.id for pet in pets] == [person.pet_id]


async def test_a_refusal_over_grpc_web_has_its_status(world: World) -> None:
    person = await world.customer()
    request = account_pb2.GetPetRequest(pet_id="01920000-0000-7000-8000-000000000000").SerializeToString()
    _, trailers = await _grpc_web(world, "petpro.account.v1.PetService/GetPet", request, person.token)
    assert trailers["grpc-status"] == str(grpc.StatusCode.NOT_FOUND.value[0])


async def test_the_documents_are_served_on_the_same_port(world: World) -> None:
    openapi = await world.visitor.get("/openapi.json")
    assert "/v1/reservations" in openapi["paths"]
    assert (await world.visitor.send("GET", "/docs")).headers["content-type"].startswith("text/html")
    keys = (await world.visitor.get("/.well-known/jwks.json"))["keys"]
    assert [key["alg"] for key in keys] == ["ES256"] * len(keys)
    assert all("d" not in key for key in keys)
