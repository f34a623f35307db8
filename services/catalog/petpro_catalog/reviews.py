"""What is done with reviews: one for each completed booking, by its customer."""

from uuid import UUID

from petpro_catalog import events, store_reviews
from petpro_catalog.domain import AlreadyReviewed, BookingNotReviewable, CompletedBooking, Review
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import outbox


def check_reviewable(booking: CompletedBooking | None, customer: UUID) -> CompletedBooking:
    """The booking. Raises BookingNotReviewable unless it is completed and the customer's own."""
    if booking is None or booking.user_id != customer:
        raise BookingNotReviewable
    return booking


async def write(tx: Transaction, booking: CompletedBooking, rating: int, comment: str) -> Review:
    """Publishes a review and tells of it as review.created. Raises AlreadyReviewed."""
    store_reviews.add_completed_booking(tx, booking)
    review = await store_reviews.add_review(tx, new_id(), booking, rating, comment)
    if review is None:
        raise AlreadyReviewed
    await outbox.add_event(tx, "catalog", "review.created", review.id, events.review_created(review))
    return review
