"""Calls about reviews."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import clinics, messages, reviews, rules, store_reviews
from petpro_catalog.bookings import Bookings
from petpro_catalog.domain import CompletedBooking, Opinion, is_insider
from petpro_common.context import maybe_caller, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.errors import Forbidden
from petpro_common.idempotency import once
from petpro_common.pages import cut, page_size, read_id

Context = ServicerContext[Any, Any]


class ReviewCalls:
    """The review calls of CatalogService."""

    _database: Database
    _bookings: Bookings

    async def CreateReview(self, request: pb.CreateReviewRequest, context: Context) -> pb.CreateReviewResponse:
        customer = signed_in().user_id
        opinion = Opinion(request.rating, request.comment.strip(), tuple(request.attachments))
        rules.check_opinion(opinion)
        booking = await self._completed_booking(UUID(request.booking_id))

        async def work(tx: Transaction) -> pb.CreateReviewResponse:
            reviewable = await reviews.reviewable(tx, booking, customer)
            review = await reviews.write(tx, reviewable, opinion)
            return pb.CreateReviewResponse(review=messages.review(review))

        return await once(self._database, request, pb.CreateReviewResponse, work)

    async def GetReview(self, request: pb.GetReviewRequest, context: Context) -> pb.GetReviewResponse:
        caller = signed_in()
        async with self._database.reading() as tx:
            review = await reviews.of_booking(tx, UUID(request.booking_id), caller)
        return pb.GetReviewResponse(review=messages.review(review))

    async def ListReviews(self, request: pb.ListReviewsRequest, context: Context) -> pb.ListReviewsResponse:
        caller, published = maybe_caller(), not request.unpublished
        clinic_id, size = UUID(request.clinic_id), page_size(request.page_size)
        filters = (clinic_id,) if published else (clinic_id, "unpublished")
        after = read_id(request.page_token, *filters)
        async with self._database.reading() as tx:
            clinic = await clinics.visible(tx, clinic_id, caller)
            if not (published or is_insider(clinic, caller)):
                raise Forbidden
            found = await store_reviews.reviews_of(tx, clinic_id, after, size + 1, published=published)
        shown, token = cut(found, size, lambda review: (review.id,), *filters)
        return pb.ListReviewsResponse(reviews=map(messages.review, shown), next_page_token=token)

    async def _completed_booking(self, booking_id: UUID) -> CompletedBooking | None:
        """From what we have heard, or else from booking itself: its event may still be on the way."""
        async with self._database.reading() as tx:
            known = await store_reviews.completed_booking(tx, booking_id)
        return known or await self._bookings.completed(booking_id)
