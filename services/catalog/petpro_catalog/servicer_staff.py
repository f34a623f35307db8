"""Calls about staff."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import clinics, messages, staff, store_staff
from petpro_catalog.domain import StaffDetails, StaffMember, is_insider
from petpro_common.context import maybe_caller, signed_in, trusted
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once
from petpro_common.pages import cut, page_size, read_key

Context = ServicerContext[Any, Any]


class StaffCalls:
    """The staff calls of CatalogService."""

    _database: Database

    async def CreateStaff(self, request: pb.CreateStaffRequest, context: Context) -> pb.CreateStaffResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> pb.CreateStaffResponse:
            member = await staff.add(tx, UUID(request.clinic_id), caller, messages.staff_details(request.staff))
            return pb.CreateStaffResponse(staff=messages.staff(member, is_insider=True))

        return await once(self._database, request, pb.CreateStaffResponse, work)

    async def ListStaff(self, request: pb.ListStaffRequest, context: Context) -> pb.ListStaffResponse:
        caller = maybe_caller()
        clinic_id, size = UUID(request.clinic_id), page_size(request.page_size)
        after = read_key(request.page_token, (str, UUID), clinic_id)
        async with self._database.reading() as tx:
            clinic = await clinics.visible(tx, clinic_id, caller)
            found = await store_staff.staff_of(tx, clinic_id, after, size + 1)
        shown, token = cut(found, size, lambda member: (member.details.name, member.id), clinic_id)
        insider = is_insider(clinic, caller)
        return pb.ListStaffResponse(staff=[messages.staff(member, insider) for member in shown], next_page_token=token)

    async def GetStaff(self, request: pb.GetStaffRequest, context: Context) -> pb.GetStaffResponse:
        trusted()
        async with self._database.reading() as tx:
            member = await staff.member(tx, UUID(request.staff_id))
        return pb.GetStaffResponse(staff=messages.staff(member, is_insider=True))

    async def UpdateStaff(self, request: pb.UpdateStaffRequest, context: Context) -> pb.UpdateStaffResponse:
        caller = signed_in()

        def change(member: StaffMember) -> StaffDetails:
            now = messages.staff(member, is_insider=True)
            edited = messages.edited(now, request.staff, request.update_mask, messages.STAFF_FIELDS)
            return messages.staff_details(edited)

        async def work(tx: Transaction) -> pb.UpdateStaffResponse:
            member = await staff.edit(tx, UUID(request.staff_id), caller, change)
            return pb.UpdateStaffResponse(staff=messages.staff(member, is_insider=True))

        return await once(self._database, request, pb.UpdateStaffResponse, work)
