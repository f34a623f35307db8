"""SlotService: when a service can be had."""

from typing import Any
from uuid import UUID

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import messages, slots, store_slots
from petpro_booking.copies import Copies
from petpro_booking.domain import ServiceNotFound
from petpro_booking.slots import Market
from petpro_common.context import maybe_caller, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import answered, once
from petpro_common.ids import optional_id
from petpro_common.pages import cut, page_size, read_moment


class SlotServicer(booking_pb2_grpc.SlotServiceServicer):
    """See the contract."""

    def __init__(self, database: Database, copies: Copies) -> None:
        self._database = database
        self._copies = copies

    async def GenerateSlots(
        self, request: booking_pb2.GenerateSlotsRequest, context: Any
    ) -> booking_pb2.GenerateSlotsResponse:
        if reply := await answered(self._database, request, booking_pb2.GenerateSlotsResponse):
            return reply
        caller = signed_in()
        service_id = UUID(request.service_id)
        staff_id = optional_id("staff_id", request.staff_id)
        timetable = await self._copies.timetable(service_id, staff_id)
        days = (request.from_date, request.to_date)
        plan = slots.plan(service_id, staff_id, days, request.capacity, timetable)

        async def work(tx: Transaction) -> booking_pb2.GenerateSlotsResponse:
            created = await slots.open_planned(tx, caller, plan)
            skipped = len(plan.openings) - created
            return booking_pb2.GenerateSlotsResponse(created_count=created, skipped_count=skipped)

        async with self._database.reading() as tx:
            await slots.must_act_for(tx, caller, plan.clinic_id)
        slots.must_have_been_approved(timetable.clinic_status)
        await slots.open_partitions(self._database, plan)
        return await once(self._database, request, booking_pb2.GenerateSlotsResponse, work)

    async def ListSlots(self, request: booking_pb2.ListSlotsRequest, context: Any) -> booking_pb2.ListSlotsResponse:
        service_id, size = UUID(request.service_id), page_size(request.page_size)
        filters = (request.service_id, request.from_date, request.to_date, request.available_only)
        after = read_moment(request.page_token, *filters)
        market = await self._market(service_id)
        days = slots.range_to_list((request.from_date, request.to_date), market.zone)
        wanted = (service_id, days, request.available_only, after, size + 1)
        async with self._database.reading() as tx:
            rows = await store_slots.page(tx, *wanted) if market.is_open else []
        shown, next_token = cut(rows, size, lambda row: (row.starts_at, row.id), *filters)
        return booking_pb2.ListSlotsResponse(slots=map(messages.slot, shown), next_page_token=next_token)

    async def BlockSlot(self, request: booking_pb2.BlockSlotRequest, context: Any) -> booking_pb2.BlockSlotResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.BlockSlotResponse:
            row = await slots.block(tx, caller, UUID(request.slot_id))
            return booking_pb2.BlockSlotResponse(slot=messages.slot(row))

        return await once(self._database, request, booking_pb2.BlockSlotResponse, work)

    async def UnblockSlot(
        self, request: booking_pb2.UnblockSlotRequest, context: Any
    ) -> booking_pb2.UnblockSlotResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.UnblockSlotResponse:
            row = await slots.unblock(tx, caller, UUID(request.slot_id))
            return booking_pb2.UnblockSlotResponse(slot=messages.slot(row))

        return await once(self._database, request, booking_pb2.UnblockSlotResponse, work)

    async def RemoveSlot(self, request: booking_pb2.RemoveSlotRequest, context: Any) -> booking_pb2.RemoveSlotResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> booking_pb2.RemoveSlotResponse:
            await slots.remove(tx, caller, UUID(request.slot_id))
            return booking_pb2.RemoveSlotResponse()

        return await once(self._database, request, booking_pb2.RemoveSlotResponse, work)

    async def _market(self, service_id: UUID) -> Market:
        """Where and whether the caller sees slots of a service. Raises ServiceNotFound."""
        caller = maybe_caller()
        async with self._database.reading() as tx:
            market = await slots.market(tx, caller, service_id)
        if market and market.is_open:
            return market
        await self._copies.timetable(service_id, None)
        async with self._database.reading() as tx:
            market = await slots.market(tx, caller, service_id)
        if market is None:
            raise ServiceNotFound
        return market
