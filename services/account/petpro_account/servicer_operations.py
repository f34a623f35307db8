"""UserOperationsService over gRPC: administrators alone, one transaction an act."""

from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.account.v1 import operations_pb2 as pb
from petpro.account.v1.operations_pb2_grpc import UserOperationsServiceServicer
from petpro_account import operations
from petpro_account.messages import role_of, user_message
from petpro_account.operations import Done, Order
from petpro_common.context import Role, administrator
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once

_Context: TypeAlias = ServicerContext[Any, Any]
_Reply = TypeVar(
    "_Reply",
    pb.SuspendUserResponse,
    pb.SetUserRoleResponse,
    pb.ReinstateUserResponse,
    pb.EndSessionsResponse,
    pb.UnlockSignInResponse,
    pb.EraseUserResponse,
)


class OperationsServicer(UserOperationsServiceServicer):
    """See the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def SuspendUser(self, request: pb.SuspendUserRequest, context: _Context) -> pb.SuspendUserResponse:
        return await self._do("suspend", request, pb.SuspendUserResponse)

    async def SetUserRole(self, request: pb.SetUserRoleRequest, context: _Context) -> pb.SetUserRoleResponse:
        return await self._do("set_role", request, pb.SetUserRoleResponse, role_of(request.role))

    async def ReinstateUser(self, request: pb.ReinstateUserRequest, context: _Context) -> pb.ReinstateUserResponse:
        return await self._do("reinstate", request, pb.ReinstateUserResponse)

    async def EndSessions(self, request: pb.EndSessionsRequest, context: _Context) -> pb.EndSessionsResponse:
        return await self._do("end_sessions", request, pb.EndSessionsResponse)

    async def UnlockSignIn(self, request: pb.UnlockSignInRequest, context: _Context) -> pb.UnlockSignInResponse:
        return await self._do("unlock_sign_in", request, pb.UnlockSignInResponse)

    async def EraseUser(self, request: pb.EraseUserRequest, context: _Context) -> pb.EraseUserResponse:
        return await self._do("erase", request, pb.EraseUserResponse)

    async def _do(self, verb: str, request: Any, reply_type: type[_Reply], role: Role | None = None) -> _Reply:
        order = Order(administrator().user_id, UUID(request.user_id), request.reason, request.dry_run, role)

        async def work(tx: Transaction) -> _Reply:
            return _reply(reply_type, await operations.do(tx, verb, order))

        return await once(self._database, request, reply_type, work, dry_run=request.dry_run)


def _reply(reply_type: type[_Reply], done: Done) -> _Reply:
    reply = reply_type(user=user_message(done.user))
    if not isinstance(reply, pb.ReinstateUserResponse | pb.UnlockSignInResponse):
        reply.ended_sessions = done.ended_sessions
    return reply
