"""The people and servers around the notification service, as far as its tests need them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import grpc
from aiosmtpd.smtp import SMTP, Envelope, Session
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_common.context import service_alone, trusted
from petpro_common.errors import NotFound


class Account(account_pb2_grpc.AccountServiceServicer):
    """Knows people, and tells services alone about them."""

    def __init__(self) -> None:
        self.people: dict[str, account_pb2.User] = {}
        self.asked: list[set[str]] = []
        self.resets: set[str] = set()
        self.verifications: set[str] = set()
        self.tokens: list[str] = []
        self.is_away = False
        self.is_older = False

    def add(self, user_id: UUID, email: str, full_name: str, **other: Any) -> None:
        """A person whose address is theirs, and who wants to hear from us by mail, or by what `wishes` says."""
        person = {"email": email, "full_name": full_name, "phone_number": "+628123456789", "account_status": "active"}
        person["verification_status"] = "verified"
        wishes = account_pb2.NotificationPrefs(**dict.fromkeys(other.pop("wishes", ["email"]), True))
        self.people[str(user_id)] = account_pb2.User(id=str(user_id), notification_prefs=wishes, **{**person, **other})

    async def BatchGetUsers(  # noqa: N802
        self, request: account_pb2.BatchGetUsersRequest, context: aio.ServicerContext[Any, Any]
    ) -> account_pb2.BatchGetUsersResponse:
        trusted()
        self.asked.append(set(request.user_ids))
        await _may_be_away(self, context)
        found = [self.people[user_id] for user_id in self.people.keys() & request.user_ids]
        return account_pb2.BatchGetUsersResponse(users=found)

    async def CreatePasswordResetToken(  # noqa: N802
        self, request: account_pb2.CreatePasswordResetTokenRequest, context: aio.ServicerContext[Any, Any]
    ) -> account_pb2.CreatePasswordResetTokenResponse:
        return account_pb2.CreatePasswordResetTokenResponse(token=self._token(request.reset_id, self.resets))

    async def CreateEmailVerificationToken(  # noqa: N802
        self, request: account_pb2.CreateEmailVerificationTokenRequest, context: aio.ServicerContext[Any, Any]
    ) -> account_pb2.CreateEmailVerificationTokenResponse:
        if self.is_older:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        token = self._token(request.verification_id, self.verifications)
        return account_pb2.CreateEmailVerificationTokenResponse(token=token)

    def _token(self, id_: str, known: set[str]) -> str:
        service_alone("notification")
        if id_ not in known:
            raise NotFound
        self.tokens.append(f"{len(self.tokens)}-{'x' * 41}")
        return self.tokens[-1]


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Knows clinics and services."""

    def __init__(self) -> None:
        self.clinics: dict[str, catalog_pb2.Clinic] = {}
        self.services: dict[str, catalog_pb2.Service] = {}
        self.is_away = False

    async def GetClinic(  # noqa: N802
        self, request: catalog_pb2.GetClinicRequest, context: aio.ServicerContext[Any, Any]
    ) -> catalog_pb2.GetClinicResponse:
        await _may_be_away(self, context)
        if request.clinic_id not in self.clinics:
            raise NotFound
        return catalog_pb2.GetClinicResponse(clinic=self.clinics[request.clinic_id])

    async def GetService(  # noqa: N802
        self, request: catalog_pb2.GetServiceRequest, context: aio.ServicerContext[Any, Any]
    ) -> catalog_pb2.GetServiceResponse:
        await _may_be_away(self, context)
        if request.service_id not in self.services:
            raise NotFound
        return catalog_pb2.GetServiceResponse(service=self.services[request.service_id])


async def _may_be_away(played: Account | Catalog, context: aio.ServicerContext[Any, Any]) -> None:
    if played.is_away:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")


@dataclass
class MailServer:
    """An SMTP server on a port of its own, which can be down, refuse an address or a mail, know ASCII alone, or hang
    before it says yes."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refusal_of_the_address: str | None = None
    refusal: str | None = None
    holds_its_answer: bool = False
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    offers_smtputf8: bool = True
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Called by aiosmtpd with each address."""
        if self.refusal_of_the_address:
            return self.refusal_of_the_address
        envelope.rcpt_tos.append(address)
        return "250 go on"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd with a whole mail; the answer is the SMTP reply."""
        content = envelope.content
        assert isinstance(content, bytes)
        if self.refusal:
            return self.refusal
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients += envelope.rcpt_tos
        self.arrived.set()
        if self.holds_its_answer:
            await self.may_answer.wait()
        return "250 taken"

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        make: Callable[[], SMTP] = lambda: SMTP(self, loop=loop, enable_SMTPUTF8=self.offers_smtputf8)  # noqa: E731
        server = await loop.create_server(make, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
