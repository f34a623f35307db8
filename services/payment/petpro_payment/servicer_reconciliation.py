"""ReconciliationService: what providers say they did with money."""

from datetime import UTC
from typing import Any

from grpc import aio

from petpro.payment.v1 import reconciliation_pb2 as proto
from petpro.payment.v1 import reconciliation_pb2_grpc
from petpro_common import pages
from petpro_common.context import administrator
from petpro_common.db import Database
from petpro_common.instants import timestamp
from petpro_payment import reconciliation
from petpro_payment.errors import ProviderNotFound
from petpro_payment.providers.movements import Kind, Movement, Span, State
from petpro_payment.providers.provider import Providers

_Context = aio.ServicerContext[Any, Any]
_KINDS = {proto.MOVEMENT_KIND_CAPTURE: Kind.CAPTURE, proto.MOVEMENT_KIND_REFUND: Kind.REFUND}
_KIND_MESSAGES = {kind: message for message, kind in _KINDS.items()}
_STATES = {
    State.PENDING: proto.MOVEMENT_STATE_PENDING,
    State.DONE: proto.MOVEMENT_STATE_DONE,
    State.FAILED: proto.MOVEMENT_STATE_FAILED,
}


class ReconciliationServicer(reconciliation_pb2_grpc.ReconciliationServiceServicer):
    """ReconciliationService of the contract."""

    def __init__(self, database: Database, providers: Providers) -> None:
        self._database = database
        self._providers = providers

    async def ListProviderMovements(
        self, request: proto.ListProviderMovementsRequest, context: _Context
    ) -> proto.ListProviderMovementsResponse:
        administrator()
        provider = self._providers.get(request.provider)
        if provider is None:
            raise ProviderNotFound
        kind, since, until = _KINDS[request.kind], request.since.ToDatetime(UTC), request.until.ToDatetime(UTC)
        filters = ("movements", request.provider, kind, since, until)
        (after,) = pages.read_key(request.page_token, (str,), *filters) or ("",)
        span = Span(kind, since, until, pages.page_size(request.page_size), after)
        page = await reconciliation.page(self._database, provider, span)
        return proto.ListProviderMovementsResponse(
            movements=map(_movement, page.movements),
            next_page_token=pages.write_token((page.end,), *filters) if page.end else "",
            is_listed=provider.capabilities.lists,
        )


def _movement(movement: Movement) -> proto.ProviderMovement:
    return proto.ProviderMovement(
        kind=_KIND_MESSAGES[movement.kind],
        reference=movement.reference,
        external_reference=movement.external_reference,
        state=_STATES[movement.state],
        amount=movement.money.to_proto() if movement.money else None,
        at=timestamp(movement.at) if movement.at else None,
    )
