"""Who sees what is a clinic's: its owner, its staff with an account, administrators and services."""

from uuid import UUID

import grpc
from grpc import aio

from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro_common.context import Caller
from petpro_common.db import Database
from petpro_payment import store


class Clinics:
    """Answers from the projection of catalog's events, and asks catalog about a clinic that it does not know yet."""

    def __init__(self, database: Database, catalog: aio.Channel) -> None:
        self._database = database
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(catalog)

    async def sees_clinic(self, caller: Caller, clinic_id: UUID) -> bool:
        """Whether the caller may see what is the clinic's; administrators and services may. No transaction is open."""
        if caller.is_trusted:
            return True
        async with self._database.reading() as tx:
            known = await store.members(tx, clinic_id)
        if any(source_id == clinic_id for source_id, _ in known):
            return any(user_id == caller.user_id for _, user_id in known)
        return await self._owner(clinic_id) == str(caller.user_id)

    async def _owner(self, clinic_id: UUID) -> str | None:
        try:
            reply = await self._catalog.GetClinic(catalog_pb2.GetClinicRequest(clinic_id=str(clinic_id)))
        except aio.AioRpcError as fault:
            if fault.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        owner: str = reply.clinic.owner_id
        return owner
