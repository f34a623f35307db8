"""Calls about clinics."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import clinics, messages, rules, store_clinics
from petpro_catalog.domain import Clinic, ClinicDetails, ClinicStatus, is_insider
from petpro_catalog.store_clinics import Point, Wanted
from petpro_common.context import Caller, administrator, maybe_caller, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.errors import Forbidden, invalid
from petpro_common.idempotency import once
from petpro_common.ids import optional_id
from petpro_common.pages import cut, page_size, read_key

Context = ServicerContext[Any, Any]

_USUAL_RADIUS_KM = 25.0
_RADIUS_DIGITS = 6
_Decided = TypeVar("_Decided", pb.ApproveClinicResponse, pb.RejectClinicResponse, pb.SuspendClinicResponse)


class ClinicCalls:
    """The clinic calls of CatalogService."""

    _database: Database

    async def CreateClinic(self, request: pb.CreateClinicRequest, context: Context) -> pb.CreateClinicResponse:
        caller = signed_in()
        owner = optional_id("clinic.owner_id", request.clinic.owner_id) or caller.user_id

        async def work(tx: Transaction) -> pb.CreateClinicResponse:
            clinic = await clinics.apply_for(tx, caller, owner, messages.clinic_details(request.clinic))
            return pb.CreateClinicResponse(clinic=_shown(clinic, caller))

        return await once(self._database, request, pb.CreateClinicResponse, work)

    async def ListClinics(self, request: pb.ListClinicsRequest, context: Context) -> pb.ListClinicsResponse:
        caller = maybe_caller()
        wanted = _wanted(request)
        if wanted.of_person is None and not (caller and caller.is_trusted):
            if wanted.status not in (None, ClinicStatus.APPROVED):
                raise Forbidden
            wanted = replace(wanted, status=ClinicStatus.APPROVED)
        size = page_size(request.page_size)
        first: Callable[[str], str | float] = float if wanted.near else str
        after = read_key(request.page_token, (first, UUID), wanted)
        async with self._database.reading() as tx:
            found = await store_clinics.search(tx, wanted, clinics.viewer(caller), after, size + 1)
        shown, token = cut(found, size, lambda one: one.key, wanted)
        return pb.ListClinicsResponse(clinics=[_shown(one.clinic, caller) for one in shown], next_page_token=token)

    async def GetClinic(self, request: pb.GetClinicRequest, context: Context) -> pb.GetClinicResponse:
        caller = maybe_caller()
        async with self._database.reading() as tx:
            clinic = await clinics.reachable(tx, UUID(request.clinic_id), caller)
        return pb.GetClinicResponse(clinic=_shown(clinic, caller))

    async def UpdateClinic(self, request: pb.UpdateClinicRequest, context: Context) -> pb.UpdateClinicResponse:
        caller = signed_in()

        def change(clinic: Clinic) -> ClinicDetails:
            now = messages.clinic(clinic, is_insider=True)
            edited = messages.edited(now, request.clinic, request.update_mask, messages.CLINIC_FIELDS)
            return messages.clinic_details(edited)

        async def work(tx: Transaction) -> pb.UpdateClinicResponse:
            clinic = await clinics.edit(tx, UUID(request.clinic_id), caller, change)
            return pb.UpdateClinicResponse(clinic=_shown(clinic, caller))

        return await once(self._database, request, pb.UpdateClinicResponse, work)

    async def ApproveClinic(self, request: pb.ApproveClinicRequest, context: Context) -> pb.ApproveClinicResponse:
        return await self._decide(request, ClinicStatus.APPROVED, pb.ApproveClinicResponse)

    async def RejectClinic(self, request: pb.RejectClinicRequest, context: Context) -> pb.RejectClinicResponse:
        return await self._decide(request, ClinicStatus.REJECTED, pb.RejectClinicResponse)

    async def SuspendClinic(self, request: pb.SuspendClinicRequest, context: Context) -> pb.SuspendClinicResponse:
        return await self._decide(request, ClinicStatus.SUSPENDED, pb.SuspendClinicResponse)

    async def _decide(self, request: Any, status: ClinicStatus, reply_type: type[_Decided]) -> _Decided:
        caller = administrator()

        async def work(tx: Transaction) -> _Decided:
            clinic = await clinics.decide(tx, UUID(request.clinic_id), caller, status)
            return reply_type(clinic=_shown(clinic, caller))

        return await once(self._database, request, reply_type, work)


def _shown(clinic: Clinic, caller: Caller | None) -> pb.Clinic:
    return messages.clinic(clinic, is_insider(clinic, caller))


def _wanted(request: pb.ListClinicsRequest) -> Wanted:
    if request.HasField("latitude") != request.HasField("longitude"):
        raise invalid("latitude", "latitude and longitude come together")
    rules.check_text("query", request.query)
    rules.check_text("city", request.city)
    return Wanted(
        words=tuple(request.query.split()),
        city=request.city.strip(),
        near=_near(request) if request.HasField("latitude") else None,
        of_person=signed_in().user_id if request.mine else None,
        status=messages.status(request.status),
    )


def _near(request: pb.ListClinicsRequest) -> Point:
    """To the digits that clinics are kept with: PostgreSQL does not reckon with the smallest numbers that there are."""
    return Point(
        round(request.latitude, messages.DEGREE_DIGITS),
        round(request.longitude, messages.DEGREE_DIGITS),
        round(request.radius_km or _USUAL_RADIUS_KM, _RADIUS_DIGITS),
    )
