"""SagaService: what happened to sagas, for administrators."""

from typing import Any
from uuid import UUID

from petpro.booking.v1 import booking_pb2, booking_pb2_grpc
from petpro_booking.domain import SagaNotFound
from petpro_common.context import administrator
from petpro_common.db import Database
from petpro_common.instants import timestamp
from petpro_common.pages import BadPageToken, page_size, read_token, write_token
from petpro_common.saga import store


class SagaServicer(booking_pb2_grpc.SagaServiceServicer):
    """See the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListSagas(self, request: booking_pb2.ListSagasRequest, context: Any) -> booking_pb2.ListSagasResponse:
        administrator()
        size = page_size(request.page_size)
        filters = (request.saga_type, request.status, request.business_key)
        after = _after(request.page_token, filters)
        async with self._database.transaction() as tx:
            rows = await store.page(tx, *filters, after, size + 1)
        next_token = write_token((rows[size - 1].id,), *filters) if len(rows) > size else ""
        return booking_pb2.ListSagasResponse(sagas=map(_saga, rows[:size]), next_page_token=next_token)

    async def GetSaga(self, request: booking_pb2.GetSagaRequest, context: Any) -> booking_pb2.GetSagaResponse:
        administrator()
        async with self._database.transaction() as tx:
            row = await store.one(tx, UUID(request.saga_id))
            if row is None:
                raise SagaNotFound
            timeline = await store.timeline(tx, row.id)
        saga = _saga(row)
        saga.timeline.extend(_happening(line) for line in timeline)
        return booking_pb2.GetSagaResponse(saga=saga)


def _after(token: str, filters: tuple[str, ...]) -> UUID | None:
    key = read_token(token, *filters)
    if key is None:
        return None
    try:
        (saga_id,) = key
        return UUID(saga_id)
    except ValueError:
        raise BadPageToken from None


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
    )


def _happening(line: Any) -> booking_pb2.SagaEvent:
    return booking_pb2.SagaEvent(
        at=timestamp(line.at),
        kind=line.kind,
        step=line.step,
        direction=line.direction,
        attempt=line.attempt,
        detail=line.detail,
    )
