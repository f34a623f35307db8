"""Who people are and what clinics are called, asked of their owners. People are asked for each time that
something is sent to them, and never kept; nor is the token that a mail brings them.

Who is asked for at the same time is asked for by one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_common.coalescing import Coalescer
from petpro_notification.domain import Channel
from petpro_notification.messages import Clinic, Offer

_MOST_PEOPLE = 100


@dataclass(frozen=True)
class Person:
    """Whom something goes to, for as long as it is being sent."""

    email: str
    full_name: str
    wishes: frozenset[Channel]
    """The channels by which they want to hear from us."""
    phone_number: str = ""
    """E.164, or empty."""
    is_verified: bool = False
    """Whether the address is known to be theirs."""


class Directory:
    """Account and catalog over gRPC. What cannot be reached raises AioRpcError; what is not there is None."""

    def __init__(self, account: aio.Channel, catalog: aio.Channel) -> None:
        self._account = account_pb2_grpc.AccountServiceStub(account)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(catalog)
        self._people = Coalescer(self._ask_for, key_of=lambda _: None, batch=_MOST_PEOPLE)

    async def person(self, user_id: UUID) -> Person | None:
        """A person who can be written to, or None: unknown, erased, or without an address."""
        return await self._people.do(user_id)

    async def _ask_for(self, user_ids: Sequence[UUID]) -> Sequence[Person | Exception | None]:
        asked = [str(user_id) for user_id in user_ids]
        people_of = account_pb2.BatchGetUsersRequest(user_ids=dict.fromkeys(asked))
        try:
            reply = await self._account.BatchGetUsers(people_of)
        except aio.AioRpcError as fault:
            return [fault] * len(asked)
        people = {user.id: _person(user) for user in reply.users}
        return [people.get(user_id) for user_id in asked]

    async def reset_token(self, reset_id: UUID) -> str | None:
        """A new token by which the person sets a password, or None: the reset is over."""
        asked = account_pb2.CreatePasswordResetTokenRequest(reset_id=str(reset_id))
        reply = await _found(self._account.CreatePasswordResetToken(asked))
        return str(reply.token) if reply else None

    async def verification_token(self, verification_id: UUID) -> str | None:
        """A new token by which the person's address is verified, or None: the verification is over."""
        asked = account_pb2.CreateEmailVerificationTokenRequest(verification_id=str(verification_id))
        reply = await _found(self._account.CreateEmailVerificationToken(asked))
        return str(reply.token) if reply else None

    async def clinic(self, clinic_id: UUID) -> Clinic | None:
        reply = await _found(self._catalog.GetClinic(catalog_pb2.GetClinicRequest(clinic_id=str(clinic_id))))
        if reply is None:
            return None
        return Clinic(clinic_id, reply.clinic.name, reply.clinic.timezone, reply.clinic.version)

    async def offer(self, service_id: UUID) -> Offer | None:
        reply = await _found(self._catalog.GetService(catalog_pb2.GetServiceRequest(service_id=str(service_id))))
        if reply is None:
            return None
        service = reply.service
        return Offer(service_id, UUID(service.clinic_id), service.name, service.duration_minutes, service.version)


def _person(user: account_pb2.User) -> Person | None:
    if not user.email:
        return None
    wishes = frozenset(channel for channel in Channel if getattr(user.notification_prefs, channel))
    is_verified = user.verification_status == "verified"
    return Person(user.email, user.full_name, wishes, user.phone_number, is_verified)


async def _found(call: Any) -> Any:
    try:
        return await call
    except aio.AioRpcError as fault:
        if fault.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
