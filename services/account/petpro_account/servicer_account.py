"""AccountService over gRPC: parse, hash outside of transactions, call one use case, reply."""

import asyncio
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from petpro.account.v1 import account_pb2 as pb
from petpro.account.v1.account_pb2_grpc import AccountServiceServicer
from petpro_account import email_verifications, erasure, messages, password_resets, sessions, store, users
from petpro_account.domain import RESET_ANSWER_SECONDS, BadResetToken
from petpro_account.passwords import Passwords
from petpro_account.sessions import Attempt, Grant
from petpro_account.store_sessions import Credentials
from petpro_account.tokens import TokenKeys
from petpro_common import context as call_context
from petpro_common.context import ends_what_was_begun, service_alone, signed_in, trusted
from petpro_common.db import Database, Transaction
from petpro_common.errors import PetProError
from petpro_common.idempotency import answered, once, was_used

Context = ServicerContext[Any, Any]
_Request = TypeVar("_Request", bound=Message)


class AccountServicer(AccountServiceServicer):
    """See the contract."""

    def __init__(self, database: Database, passwords: Passwords, keys: TokenKeys) -> None:
        self._database = database
        self._passwords = passwords
        self._keys = keys

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        columns = users.read_registration(request)
        password_hash = await self._passwords.hash(request.password)

        async def work(tx: Transaction) -> pb.CreateUserResponse:
            user = await users.register(tx, columns, password_hash)
            return pb.CreateUserResponse(user=messages.user_message(user))

        return await once(self._database, await self._to_remember(request, "password"), pb.CreateUserResponse, work)

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        async with self._database.transaction() as tx:
            attempt = await sessions.begin(tx, request.email)
        found, is_outdated = await self._checked(attempt, request.password)
        new_hash = await self._passwords.hash(request.password) if is_outdated else None
        async with self._database.transaction() as tx:
            grant = await sessions.succeed(tx, attempt, found, new_hash)
        return pb.CreateTokenResponse(tokens=self._tokens(grant))

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        call = call_context.current()
        async with self._database.transaction() as tx:
            grant = await sessions.refresh(tx, request.refresh_token, call.idempotency_key if call else "")
        if isinstance(grant, PetProError):
            raise grant
        return pb.RefreshTokenResponse(tokens=self._tokens(grant))

    async def GetCurrentUser(self, request: pb.GetCurrentUserRequest, context: Context) -> pb.GetCurrentUserResponse:
        caller = signed_in()
        async with self._database.reading() as tx:
            user = await users.get(tx, caller.user_id)
        return pb.GetCurrentUserResponse(user=messages.user_message(user))

    async def UpdateCurrentUser(
        self, request: pb.UpdateCurrentUserRequest, context: Context
    ) -> pb.UpdateCurrentUserResponse:
        user_id = signed_in().user_id
        changes = users.read_edit(request.user, request.update_mask.paths)

        async def work(tx: Transaction) -> pb.UpdateCurrentUserResponse:
            user = await users.edit(tx, user_id, changes)
            return pb.UpdateCurrentUserResponse(user=messages.user_message(user))

        return await once(self._database, request, pb.UpdateCurrentUserResponse, work)

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        user_id = signed_in().user_id
        remembered = await self._to_remember(request, "current_password", "new_password")
        if reply := await answered(self._database, remembered, pb.ChangePasswordResponse):
            return reply
        async with self._database.transaction() as tx:
            attempt = await sessions.begin(tx, (await users.get(tx, user_id)).email)
        found, _ = await self._checked(attempt, request.current_password)
        new_hash = await self._passwords.hash(request.new_password)

        async def work(tx: Transaction) -> pb.ChangePasswordResponse:
            await sessions.change_password(tx, attempt, found, new_hash)
            return pb.ChangePasswordResponse()

        return await once(self._database, remembered, pb.ChangePasswordResponse, work)

    @ends_what_was_begun  # refused for those alone who have an account, it would tell that they have one
    async def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: Context
    ) -> pb.RequestPasswordResetResponse:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()

        async def work(tx: Transaction) -> pb.RequestPasswordResetResponse:
            await password_resets.ask(tx, request.email)
            return pb.RequestPasswordResetResponse()

        reply = await once(self._database, request, pb.RequestPasswordResetResponse, work)
        await asyncio.sleep((asked_at - loop.time()) % RESET_ANSWER_SECONDS)
        return reply

    @ends_what_was_begun
    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Context) -> pb.ResetPasswordResponse:
        try:
            async with self._database.reading() as tx:
                await password_resets.look_at(tx, request.token)
        except BadResetToken:  # it may have been good to the same request a moment ago
            if not await was_used(self._database, request):
                raise
        remembered = await self._to_remember(request, "new_password")
        if reply := await answered(self._database, remembered, pb.ResetPasswordResponse):
            return reply
        new_hash = await self._passwords.hash(request.new_password)

        async def work(tx: Transaction) -> pb.ResetPasswordResponse:
            await password_resets.reset(tx, request.token, new_hash)
            return pb.ResetPasswordResponse()

        return await once(self._database, remembered, pb.ResetPasswordResponse, work)

    async def CreatePasswordResetToken(
        self, request: pb.CreatePasswordResetTokenRequest, context: Context
    ) -> pb.CreatePasswordResetTokenResponse:
        service_alone("notification")
        async with self._database.transaction() as tx:
            token = await password_resets.make_token(tx, UUID(request.reset_id))
        return pb.CreatePasswordResetTokenResponse(token=token)

    async def RequestEmailVerification(
        self, request: pb.RequestEmailVerificationRequest, context: Context
    ) -> pb.RequestEmailVerificationResponse:
        user_id = signed_in().user_id

        async def work(tx: Transaction) -> pb.RequestEmailVerificationResponse:
            user = await email_verifications.ask(tx, user_id)
            return pb.RequestEmailVerificationResponse(user=messages.user_message(user))

        return await once(self._database, request, pb.RequestEmailVerificationResponse, work)

    @ends_what_was_begun
    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        async def work(tx: Transaction) -> pb.VerifyEmailResponse:
            await email_verifications.verify(tx, request.token)
            return pb.VerifyEmailResponse()

        return await once(self._database, request, pb.VerifyEmailResponse, work)

    async def CreateEmailVerificationToken(
        self, request: pb.CreateEmailVerificationTokenRequest, context: Context
    ) -> pb.CreateEmailVerificationTokenResponse:
        service_alone("notification")
        async with self._database.transaction() as tx:
            token = await email_verifications.make_token(tx, UUID(request.verification_id))
        return pb.CreateEmailVerificationTokenResponse(token=token)

    @ends_what_was_begun
    async def EraseCurrentUser(
        self, request: pb.EraseCurrentUserRequest, context: Context
    ) -> pb.EraseCurrentUserResponse:
        user_id = signed_in().user_id
        async with self._database.transaction() as tx:
            if await erasure.was_erased(tx, user_id):  # of which no answer is kept: it would be about them
                return pb.EraseCurrentUserResponse()
            attempt = await sessions.begin(tx, (await users.get(tx, user_id)).email)
        found, _ = await self._checked(attempt, request.password)
        async with self._database.transaction() as tx:
            await erasure.erase_oneself(tx, attempt, found)
        return pb.EraseCurrentUserResponse()

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        trusted()
        async with self._database.reading() as tx:
            user = await users.get(tx, UUID(request.user_id))
        return pb.GetUserResponse(user=messages.user_message(user))

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        trusted()
        async with self._database.reading() as tx:
            found = await store.users(tx, [UUID(user_id) for user_id in request.user_ids])
        return pb.BatchGetUsersResponse(users=[messages.user_message(user) for user in found])

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:
        return pb.GetJwksResponse(keys=[pb.Jwk(**key) for key in self._keys.public()])

    async def _checked(self, attempt: Attempt, password: str) -> tuple[Credentials, bool]:
        """Whose password it is, and whether its hash is outdated. Raises BadCredentials or TooManySignIns."""
        found = attempt.credentials
        verdict = await self._passwords.check(found.password_hash if found else None, password)
        if found is None or not verdict.is_right:
            async with self._database.transaction() as tx:
                refusal = await sessions.fail(tx, attempt)
            raise refusal
        return found, verdict.is_outdated

    def _tokens(self, grant: Grant) -> pb.Tokens:
        return messages.tokens_message(self._keys.sign(grant.user_id, grant.role), grant.refresh_token)

    async def _to_remember(self, request: _Request, *passwords: str) -> _Request:
        """The request as its fast hash may be stored: a password must not be guessed from it."""
        call = call_context.current()
        if call is None or not call.idempotency_key:
            return request
        remembered = type(request)()
        remembered.CopyFrom(request)
        for field in passwords:
            setattr(remembered, field, await self._passwords.fingerprint(getattr(request, field), call.idempotency_key))
        return remembered
