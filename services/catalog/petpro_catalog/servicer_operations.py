"""ReviewOperationsService over gRPC: administrators alone, one transaction an act."""

from typing import Any, TypeVar
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.catalog.v1 import operations_pb2 as pb
from petpro.catalog.v1.operations_pb2_grpc import ReviewOperationsServiceServicer
from petpro_catalog import messages, reviews
from petpro_catalog.reviews import Decision
from petpro_common.context import administrator
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once

Context = ServicerContext[Any, Any]
_Decided = TypeVar("_Decided", pb.UnpublishReviewResponse, pb.PublishReviewResponse)


class OperationsServicer(ReviewOperationsServiceServicer):
    """See the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def UnpublishReview(self, request: pb.UnpublishReviewRequest, context: Context) -> pb.UnpublishReviewResponse:
        return await self._decide(request, pb.UnpublishReviewResponse, is_published=False)

    async def PublishReview(self, request: pb.PublishReviewRequest, context: Context) -> pb.PublishReviewResponse:
        return await self._decide(request, pb.PublishReviewResponse, is_published=True)

    async def _decide(self, request: Any, reply_type: type[_Decided], *, is_published: bool) -> _Decided:
        operator = administrator().user_id
        decision = Decision(operator, UUID(request.review_id), is_published, request.reason, request.dry_run)

        async def work(tx: Transaction) -> _Decided:
            return reply_type(review=messages.review(await reviews.decide(tx, decision)))

        return await once(self._database, request, reply_type, work, dry_run=request.dry_run)
