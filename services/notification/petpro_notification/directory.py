"""Who people are and what clinics are called, asked of their owners. People are asked for each mail and never kept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
from grpc import aio

from petpro.account.v1 import account_pb2, account_pb2_grpc
from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_notification.messages import Clinic, Offer

_ERASED = "erased"


@dataclass(frozen=True)
class Person:
    """Whom a mail goes to, for as long as it is being sent."""

    email: str
    full_name: str
    wants_email: bool


class Directory:
    """Account and catalog over gRPC. What cannot be reached raises AioRpcError; what is not there is None."""

    def __init__(self, account: aio.Channel, catalog: aio.Channel) -> None:
        self._account = account_pb2_grpc.AccountServiceStub(account)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(catalog)

    async def person(self, user_id: UUID) -> Person | None:
        """A person who can be written to, or None: unknown, erased, or without an address."""
        reply = await _found(self._account.GetUser(account_pb2.GetUserRequest(user_id=str(user_id))))
        if reply is None or reply.user.account_status == _ERASED or not reply.user.email:
            return None
        return Person(reply.user.email, reply.user.full_name, reply.user.notification_prefs.email)

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


async def _found(call: Any) -> Any:
    try:
        return await call
    except aio.AioRpcError as fault:
        if fault.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
