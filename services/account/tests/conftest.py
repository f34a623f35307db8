"""The account service for a test: its servicers behind the real edge, on a fresh database."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from joserfc.jwk import ECKey

from devstack.testing import MakeDatabase
from petpro.account.v1.account_pb2 import GetJwksRequest
from petpro.account.v1.account_pb2_grpc import (
    AccountServiceStub,
    PetServiceStub,
    add_AccountServiceServicer_to_server,
    add_PetServiceServicer_to_server,
)
from petpro.account.v1.operations_pb2_grpc import (
    UserOperationsServiceStub,
    add_UserOperationsServiceServicer_to_server,
)
from petpro.personal.v1.personal_pb2_grpc import (
    PersonalDataServiceStub,
    add_PersonalDataServiceServicer_to_server,
)
from petpro_account.passwords import Passwords
from petpro_account.servicer_account import AccountServicer
from petpro_account.servicer_operations import OperationsServicer
from petpro_account.servicer_pets import PetServicer
from petpro_account.store_personal import HELD
from petpro_account.tokens import TokenKeys
from petpro_common.auth import Verifier
from petpro_common.db import Database
from petpro_common.personal.servicer import PersonalDataServicer
from petpro_common.testing import KeyRing, serving
from services.account.tests.people import AccountService


@pytest.fixture
def token_keys() -> TokenKeys:
    return TokenKeys(json.dumps([ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True)]))


@pytest.fixture
def passwords() -> Passwords:
    return Passwords()


@pytest.fixture
async def own_database(database: MakeDatabase) -> AsyncIterator[Database]:
    made = await database("account")
    pool = Database(made.url, made.password, pool_size=8)
    yield pool
    await pool.close()


@pytest.fixture
async def account(
    own_database: Database, token_keys: TokenKeys, passwords: Passwords, tmp_path: Path
) -> AsyncIterator[AccountService]:
    """Its edge verifies tokens with the keys that it publishes itself, as every other service does."""
    key_ring = KeyRing(tmp_path)
    channels: list[aio.Channel] = []

    async def published() -> list[dict[str, Any]]:
        reply = await AccountServiceStub(channels[0]).GetJwks(GetJwksRequest())
        return [{field.name: value for field, value in key.ListFields()} for key in reply.keys]

    def register(server: aio.Server) -> None:
        add_AccountServiceServicer_to_server(AccountServicer(own_database, passwords, token_keys), server)
        add_PetServiceServicer_to_server(PetServicer(own_database), server)
        add_UserOperationsServiceServicer_to_server(OperationsServicer(own_database), server)
        add_PersonalDataServiceServicer_to_server(PersonalDataServicer("account", own_database, HELD), server)

    async with serving("account", Verifier(key_ring.service_jwks_file, published), register) as channel:
        channels.append(channel)
        stubs = (AccountServiceStub(channel), PetServiceStub(channel), UserOperationsServiceStub(channel))
        yield AccountService(*stubs, own_database, key_ring, PersonalDataServiceStub(channel))
    passwords.close()
