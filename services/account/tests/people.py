"""The account service as people meet it in tests: behind its real edge, on a database of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from petpro.account.v1 import account_pb2 as pb
from petpro_common.db import Database
from petpro_common.testing import KeyRing

if TYPE_CHECKING:
    from petpro.account.v1.account_pb2_grpc import AccountServiceAsyncStub, PetServiceAsyncStub
    from petpro.account.v1.operations_pb2_grpc import UserOperationsServiceAsyncStub
    from petpro.personal.v1.personal_pb2_grpc import PersonalDataServiceAsyncStub

PASSWORD = "kucing-oranye-di-atap"
Headers = tuple[tuple[str, str], ...]


def bearer(token: str) -> Headers:
    return (("authorization", f"Bearer {token}"),)


def mask(*paths: str) -> FieldMask:
    return FieldMask(paths=paths)


@dataclass(frozen=True)
class Person:
    """Somebody who has registered and signed in."""

    user: pb.User
    tokens: pb.Tokens

    @property
    def id(self) -> UUID:
        return UUID(self.user.id)

    @property
    def headers(self) -> Headers:
        return bearer(self.tokens.access_token)


@dataclass(frozen=True)
class AccountService:
    """All services on one channel, with what they keep."""

    accounts: "AccountServiceAsyncStub"
    pets: "PetServiceAsyncStub"
    operations: "UserOperationsServiceAsyncStub"
    database: Database
    keys: KeyRing
    personal: "PersonalDataServiceAsyncStub"

    async def register(self, email: str, **fields: Any) -> pb.User:
        filled = {"password": PASSWORD, "full_name": "Sari Dewi", "phone_number": "+628123456789", **fields}
        return (await self.accounts.CreateUser(pb.CreateUserRequest(email=email, **filled))).user

    async def sign_in(self, email: str, password: str = PASSWORD) -> pb.Tokens:
        return (await self.accounts.CreateToken(pb.CreateTokenRequest(email=email, password=password))).tokens

    async def refresh(self, refresh_token: str, key: str = "") -> pb.Tokens:
        request = pb.RefreshTokenRequest(refresh_token=refresh_token, request_id=key)
        return (await self.accounts.RefreshToken(request)).tokens

    async def person(self, email: str, **fields: Any) -> Person:
        user = await self.register(email, **fields)
        return Person(user, await self.sign_in(email))

    async def add_pet(self, owner: Person, name: str = "Miko", **fields: Any) -> pb.Pet:
        request = pb.CreatePetRequest(pet=pb.Pet(name=name, **{"species": "cat", **fields}))
        return (await self.pets.CreatePet(request, metadata=owner.headers)).pet

    def as_service(self, name: str) -> Headers:
        return bearer(self.keys.service(name))


@dataclass(frozen=True)
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode
    reason: str
    violations: Sequence[str]
    wait_seconds: float | None


def refusal(fault: aio.AioRpcError) -> Refusal:
    reason, violations, wait = "", [], None
    for key, value in fault.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(bad):
                violations = [violation.field for violation in bad.field_violations]
            elif detail.Unpack(retry):
                wait = retry.retry_delay.ToTimedelta().total_seconds()
    return Refusal(fault.code(), reason, violations, wait)
