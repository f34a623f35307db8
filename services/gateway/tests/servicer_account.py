"""Account as a service that calls others, to be put behind the edge that ships."""

import asyncio
from typing import Any

from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro_common import context, masks
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing

Context = aio.ServicerContext[Any, Any]


class Account(account_pb2_grpc.AccountServiceServicer):
    """Answers as the test wants; for the caller's own profile it asks another service, by a call of its own."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self.others: Any = None
        self.request_ids: list[str] = []
        self.waiting, self.may_answer = 0, asyncio.Event()

    async def GetJwks(self, request: account_pb2.GetJwksRequest, grpc_context: Context) -> account_pb2.GetJwksResponse:
        return account_pb2.GetJwksResponse(keys=[account_pb2.Jwk(**key) for key in await self._keys.account_keys()])

    async def GetCurrentUser(
        self, request: account_pb2.GetCurrentUserRequest, grpc_context: Context
    ) -> account_pb2.GetCurrentUserResponse:
        call = context.current()
        assert call is not None
        self.request_ids.append(call.request_id)
        await self.others.GetUser(account_pb2.GetUserRequest(user_id=str(new_id())))
        return account_pb2.GetCurrentUserResponse()

    async def GetUser(self, request: account_pb2.GetUserRequest, grpc_context: Context) -> account_pb2.GetUserResponse:
        return account_pb2.GetUserResponse()

    async def CreateToken(
        self, request: account_pb2.CreateTokenRequest, grpc_context: Context
    ) -> account_pb2.CreateTokenResponse:
        self.waiting += 1
        await self.may_answer.wait()
        return account_pb2.CreateTokenResponse()

    async def UpdateCurrentUser(
        self, request: account_pb2.UpdateCurrentUserRequest, grpc_context: Context
    ) -> account_pb2.UpdateCurrentUserResponse:
        masks.to_edit(request.user, request.update_mask.paths, ["full_name", "phone_number"])
        return account_pb2.UpdateCurrentUserResponse()
