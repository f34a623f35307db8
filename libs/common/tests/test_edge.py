"""The edge: who gets in, and what a caller is told when something is wrong."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import grpc
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro_common import context, errors, rpc
from petpro_common.auth import ServiceTokens, Verifier
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, logged, reason_of, serving

pytestmark = pytest.mark.unit

SECRET = "the kennel's safe is behind the picture"


class KennelFull(errors.WrongState):
    """No place is left in the kennel."""

    reason = "KENNEL_FULL"


class Pets(account_pb2_grpc.PetServiceServicer):
    """Does what the test wants when a pet is asked for."""

    def __init__(self) -> None:
        self.do: Callable[[], Any] = lambda: None
        self.seen: context.CallContext | None = None

    async def GetPet(self, request: account_pb2.GetPetRequest, grpc_context: Any) -> Any:  # noqa: N802
        self.seen = context.current()
        self.do()
        return account_pb2.GetPetResponse(pet=account_pb2.Pet(id=request.pet_id))

    async def CreatePet(self, request: account_pb2.CreatePetRequest, grpc_context: Any) -> Any:  # noqa: N802
        self.seen = context.current()
        return account_pb2.CreatePetResponse(pet=request.pet)


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def pets() -> Pets:
    return Pets()  # type: ignore[abstract]  # the other RPCs are not asked for


@pytest.fixture
async def stub(keys: KeyRing, pets: Pets) -> AsyncIterator["account_pb2_grpc.PetServiceAsyncStub"]:
    def register(server: aio.Server) -> None:
        account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)

    async with serving("account", keys.verifier(), register) as channel:
        yield account_pb2_grpc.PetServiceStub(channel)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def ask(stub: Any, metadata: Any = (), pet_id: str | None = None) -> Any:
    return await stub.GetPet(account_pb2.GetPetRequest(pet_id=pet_id or str(new_id())), metadata=metadata)


async def refused(call: Any) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_good_token_names_the_caller(stub: Any, pets: Pets, keys: KeyRing) -> None:
    siti = new_id()
    await ask(stub, bearer(keys.person(siti, Role.CLINIC)))
    assert pets.seen is not None
    assert pets.seen.caller == context.Caller(str(siti), Role.CLINIC)


async def test_a_service_is_known_by_its_own_key(stub: Any, pets: Pets, keys: KeyRing) -> None:
    await ask(stub, bearer(keys.service("booking")))
    assert pets.seen is not None
    assert pets.seen.caller == context.Caller("booking", Role.SERVICE)


async def test_the_clock_of_who_signed_may_be_ahead_of_ours(stub: Any, pets: Pets, keys: KeyRing) -> None:
    await ask(stub, bearer(keys.person(new_id(), iat=int(time.time()) + 3)))
    assert pets.seen is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "not.a.token",
        lambda keys: keys.person(new_id(), seconds=-1),
        lambda keys: keys.person(new_id(), iss="somebody"),
        lambda keys: keys.person(new_id(), iss="petpro:booking"),
        lambda keys: keys.person(new_id(), aud="somewhere"),
        lambda keys: keys.person(new_id(), Role.SERVICE),
        lambda keys: keys.person(new_id())[:-4] + "AAAA",
        lambda keys: keys.service("booking", sub="notification"),
        lambda keys: keys.service("booking", sub=str(new_id())),
        lambda keys: keys.service("booking", sub=str(new_id()), role="admin"),
        lambda keys: keys.service("booking", iss="petpro:account"),
        lambda keys: keys.service("booking", sub="notification", iss="petpro:notification"),
        lambda keys: keys.service("booking", sub=str(new_id()), role="customer", iss="petpro:account"),
        lambda keys: keys.service("account", sub=str(new_id()), role="admin"),
        lambda keys: keys.service("account", sub=str(new_id())),
    ],
    ids=[
        *("no token", "out of date", "somebody's", "a service's", "for others", "role of a service", "badly signed"),
        *("another service", "a person by a service", "an administrator by a service", "itself by account's issuer"),
        *("another's issuer", "a person by account's issuer", "an administrator by account", "a person by account"),
    ],
)
async def test_a_bad_token_is_refused_even_where_none_is_needed(
    stub: Any, pets: Pets, keys: KeyRing, make: Callable[[KeyRing], str]
) -> None:
    fault = await refused(ask(stub, bearer(make(keys))))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert pets.seen is None


class Later(datetime):
    """The clock of PyJWT, an hour on."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(hours=1)


async def test_a_token_that_is_remembered_is_refused_when_it_has_run_out(
    keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, token = keys.verifier(), keys.person(new_id())
    assert (await verifier.caller(token)).role is Role.CUSTOMER
    an_hour_on = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: an_hour_on)
    monkeypatch.setattr("jwt.api_jwt.datetime", Later)
    with pytest.raises(errors.Unauthenticated):
        await verifier.caller(token)


async def test_a_flood_of_tokens_of_unheard_of_keys_is_no_flood_of_fetches(tmp_path: Path, keys: KeyRing) -> None:
    fetches = 0

    async def fetch() -> list[dict[str, Any]]:
        nonlocal fetches
        fetches += 1
        return []

    verifier = Verifier(keys.service_jwks_file, fetch)
    for _ in range(5):
        with pytest.raises(errors.Unauthenticated):
            await verifier.caller(keys.person(new_id()))
    assert fetches == 1


@pytest.mark.parametrize("fault", [ValueError(SECRET), jwt.InvalidKeyError(SECRET), KeyError("kid"), TypeError(SECRET)])
async def test_what_goes_wrong_while_keys_are_fetched_is_no_fault_of_the_callers(
    pets: Pets, keys: KeyRing, fault: Exception
) -> None:
    async def fetch() -> list[dict[str, Any]]:
        raise fault

    def register(server: aio.Server) -> None:
        account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)

    async with serving("account", Verifier(keys.service_jwks_file, fetch), register) as channel:
        asked = await refused(ask(account_pb2_grpc.PetServiceStub(channel), bearer(keys.person(new_id()))))
    assert (asked.code(), reason_of(asked)) == (grpc.StatusCode.INTERNAL, "INTERNAL")


def test_the_calls_of_half_a_minute_share_a_token_and_later_ones_have_another(
    keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, now = ServiceTokens("booking", keys.service_key("booking")), time.time()

    def issued(seconds: float) -> str:
        monkeypatch.setattr(time, "time", lambda: now + seconds)
        return tokens.issue()

    assert issued(0) == issued(29)
    for seconds in (31, 95):
        until = jwt.decode(issued(seconds), options={"verify_signature": False})["exp"]
        assert until >= now + seconds + 29


async def test_a_service_cannot_sign_for_another(stub: Any, tmp_path: Path, keys: KeyRing) -> None:
    (tmp_path / "other").mkdir()
    forger = KeyRing(tmp_path / "other")
    assert (await refused(ask(stub, bearer(forger.service("booking"))))).code() == grpc.StatusCode.UNAUTHENTICATED


async def test_field_rules_are_checked_and_all_violations_are_listed(stub: Any, pets: Pets) -> None:
    pet = account_pb2.Pet(birthdate="soon", weight="-3")
    fault = await refused(stub.CreatePet(account_pb2.CreatePetRequest(pet=pet)))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    details = error_details_pb2.BadRequest()
    status = rpc_status.from_call(fault)  # type: ignore[arg-type]  # it has what a Call has
    assert status is not None
    assert any(detail.Unpack(details) for detail in status.details)
    assert {violation.field for violation in details.field_violations} == {"pet.birthdate", "pet.weight"}


@pytest.mark.parametrize("request_bytes", [b"\n\x01\xff", b"\n\x05abc", b"\xff"])
async def test_what_cannot_be_read_is_the_callers_fault(keys: KeyRing, pets: Pets, request_bytes: bytes) -> None:
    def register(server: aio.Server) -> None:
        account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)

    async with serving("account", keys.verifier(), register) as channel:
        get_pet: Any = channel.unary_unary("/petpro.account.v1.PetService/GetPet")
        fault = await refused(get_pet(request_bytes))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert pets.seen is None


async def test_a_typed_error_arrives_with_its_reason_and_its_message(stub: Any, pets: Pets) -> None:
    def full() -> None:
        raise KennelFull(places=3)

    pets.do = full
    fault = await refused(ask(stub))
    assert fault.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(fault) == "KENNEL_FULL"
    assert fault.details() == "No place is left in the kennel."


async def test_a_fault_of_ours_does_not_leak_its_text(stub: Any, pets: Pets) -> None:
    def break_down() -> None:
        raise RuntimeError(SECRET)

    pets.do = break_down
    with logged() as lines:
        fault = await refused(ask(stub))
    assert (fault.code(), reason_of(fault)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert SECRET not in f"{fault.details()} {fault.trailing_metadata()} {lines}"
    (line,) = lines
    (told,) = line["exception"]
    assert (line["event"], told["kind"]) == ("call failed", "builtins.RuntimeError")
    assert told["frames"][-1].endswith(":break_down")


async def test_an_absurd_idempotency_key_is_refused(stub: Any) -> None:
    too_long = await refused(ask(stub, (("idempotency-key", "k" * 129),)))
    with_nul = await refused(stub.CreatePet(account_pb2.CreatePetRequest(pet=account_pb2.Pet(), request_id="a\0b")))
    assert [reason_of(too_long), reason_of(with_nul)] == ["INVALID_REQUEST"] * 2


async def test_two_idempotency_keys_that_differ_are_refused(stub: Any, pets: Pets) -> None:
    request = account_pb2.CreatePetRequest(pet=account_pb2.Pet(name="Miko", species="cat"), request_id="mine")
    both = await refused(stub.CreatePet(request, metadata=(("idempotency-key", "the app's"),)))
    assert reason_of(both) == "INVALID_REQUEST"
    assert pets.seen is None


async def test_an_idempotency_key_may_be_said_twice(stub: Any, pets: Pets) -> None:
    request = account_pb2.CreatePetRequest(pet=account_pb2.Pet(name="Miko", species="cat"), request_id="mine")
    await stub.CreatePet(request, metadata=(("idempotency-key", "mine"),))
    assert pets.seen is not None
    assert pets.seen.idempotency_key == "mine"


async def test_the_callers_request_id_is_kept(stub: Any, pets: Pets) -> None:
    await ask(stub, (("x-request-id", "req-7"), ("idempotency-key", "once")))
    assert pets.seen is not None
    assert (pets.seen.request_id, pets.seen.idempotency_key) == ("req-7", "once")


@pytest.mark.parametrize("given", ["é", "a\tb", "a" * 129, ""])
def test_a_request_id_that_cannot_be_passed_on_is_replaced(given: str) -> None:
    """A client of gRPC would not send the first two; who speaks HTTP/2 by other means can."""
    assert UUID(rpc.request_id_in({"x-request-id": given})).version == 7


def test_of_what_is_no_id_the_log_does_not_hold_all() -> None:
    with context.about(booking_id="b" * 1_000_000, saga_id=""):
        assert context.subject() == {"booking_id": "b" * 64}
