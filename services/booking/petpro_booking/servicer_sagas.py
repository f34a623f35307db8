"""SagaService: what happened to sagas, and what an operator does to them; for administrators."""

from dataclasses import astuple
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking import cancellation
from petpro_booking.saga import CANCELLATION, CLINIC_CANCELLATION
from petpro_common.context import administrator, ends_what_was_begun
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once
from petpro_common.instants import timestamp
from petpro_common.pages import cut, page_size, read_id
from petpro_common.saga import SagaEngine, store
from petpro_common.saga.operations import Operation, SagaNotFound, Verb

_CANCELLATIONS = (CANCELLATION.type, CLINIC_CANCELLATION.type)
_ENDS = {"completed": Verb.RESOLVE_COMPLETED, "compensated": Verb.RESOLVE_COMPENSATED}

Response = TypeVar(
    "Response",
    booking_pb2.RetrySagaResponse,
    booking_pb2.SkipSagaResponse,
    booking_pb2.CompensateSagaResponse,
    booking_pb2.ResolveSagaResponse,
)
Request = (
    booking_pb2.RetrySagaRequest
    | booking_pb2.SkipSagaRequest
    | booking_pb2.CompensateSagaRequest
    | booking_pb2.ResolveSagaRequest
)


class SagaServicer(booking_pb2_grpc.SagaServiceServicer):
    """See the contract."""

    def __init__(self, database: Database, engine: SagaEngine) -> None:
        self._database = database
        self._engine = engine

    async def ListSagas(self, request: booking_pb2.ListSagasRequest, context: Any) -> booking_pb2.ListSagasResponse:
        administrator()
        size = page_size(request.page_size)
        filters = store.Filters(
            request.saga_type, request.status, request.business_key, request.step, request.min_age_seconds
        )
        key = astuple(filters)
        after = read_id(request.page_token, *key)
        async with self._database.reading() as tx:
            rows = await store.page(tx, filters, after, size + 1)
        shown, next_token = cut(rows, size, lambda row: (row.id,), *key)
        return booking_pb2.ListSagasResponse(sagas=map(_saga, shown), next_page_token=next_token)

    async def GetSaga(self, request: booking_pb2.GetSagaRequest, context: Any) -> booking_pb2.GetSagaResponse:
        administrator()
        async with self._database.reading() as tx:
            row = await store.one(tx, UUID(request.saga_id))
            if row is None:
                raise SagaNotFound
            timeline = await store.timeline(tx, row.id)
        saga = _saga(row)
        saga.timeline.extend(_happening(line, line.at) for line in timeline)
        return booking_pb2.GetSagaResponse(saga=saga)

    async def RetrySaga(self, request: booking_pb2.RetrySagaRequest, context: Any) -> booking_pb2.RetrySagaResponse:
        return await self._operate(Verb.RETRY, request, booking_pb2.RetrySagaResponse)

    async def SkipSaga(self, request: booking_pb2.SkipSagaRequest, context: Any) -> booking_pb2.SkipSagaResponse:
        return await self._operate(Verb.SKIP, request, booking_pb2.SkipSagaResponse)

    async def CompensateSaga(
        self, request: booking_pb2.CompensateSagaRequest, context: Any
    ) -> booking_pb2.CompensateSagaResponse:
        return await self._operate(Verb.COMPENSATE, request, booking_pb2.CompensateSagaResponse)

    async def ResolveSaga(
        self, request: booking_pb2.ResolveSagaRequest, context: Any
    ) -> booking_pb2.ResolveSagaResponse:
        return await self._operate(_ENDS[request.outcome], request, booking_pb2.ResolveSagaResponse)

    @ends_what_was_begun
    async def _operate(self, verb: Verb, request: Request, reply_type: type[Response]) -> Response:
        operation = Operation(verb, administrator().id, request.reason)
        saga_id = UUID(request.saga_id)

        async def act(tx: Transaction) -> Response:
            locked = await store.lock(tx, [saga_id])
            done = await self._engine.operate(tx, saga_id, request.expected_version, operation, dry_run=request.dry_run)
            if verb in _ENDS.values() and done.state.saga_type in _CANCELLATIONS and not request.dry_run:
                await cancellation.resolved(tx, store.state_of(locked[saga_id]), done.state.status)
            row = await store.one(tx, saga_id)
            if row is None:
                raise SagaNotFound
            saga, at = _saga(row), await store.now(tx)
            saga.status, saga.step, saga.version = done.state.status.value, done.state.step, done.state.version
            saga.timeline.extend(_happening(line, at) for line in done.timeline)
            return reply_type(saga=saga)

        return await once(self._database, request, reply_type, act, dry_run=request.dry_run)


def _saga(row: Any) -> booking_pb2.Saga:
    return booking_pb2.Saga(
        id=str(row.id),
        saga_type=row.saga_type,
        definition_version=row.definition_version,
        business_key=row.business_key,
        status=row.status,
        step=row.step,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        version=row.version,
    )


def _happening(line: Any, at: datetime) -> booking_pb2.SagaEvent:
    return booking_pb2.SagaEvent(
        at=timestamp(at),
        kind=line.kind,
        step=line.step,
        direction=line.direction,
        attempt=line.attempt,
        detail=line.detail,
    )
