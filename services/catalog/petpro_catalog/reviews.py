"""What is done with reviews: one for each completed booking, by its customer, about a clinic of others."""

from uuid import UUID

from petpro_catalog import events, store_clinics, store_reviews, store_staff
from petpro_catalog.domain import AlreadyReviewed, BookingNotReviewable, CompletedBooking, Opinion, Review
from petpro_common.db import Transaction
from petpro_common.ids import instant_of, new_id
from petpro_common.messaging import outbox


async def reviewable(tx: Transaction, booking: CompletedBooking | None, customer: UUID) -> CompletedBooking:
    """The booking. Raises BookingNotReviewable unless it is completed, the customer's, and at a clinic of others.

    Whom a clinic calls its staff after they have booked is a customer still: it needs nobody's leave to do so.
    """
    if booking is None or booking.user_id != customer:
        raise BookingNotReviewable
    clinic = await store_clinics.clinic(tx, booking.clinic_id, customer)
    if clinic is None or clinic.owner_id == customer:
        raise BookingNotReviewable
    if await store_staff.was_member(tx, booking.clinic_id, customer, instant_of(booking.booking_id)):
        raise BookingNotReviewable
    return booking


async def write(tx: Transaction, booking: CompletedBooking, opinion: Opinion) -> Review:
    """Publishes a review and tells of it as review.created. Raises AlreadyReviewed."""
    store_reviews.add_completed_booking(tx, booking)
    review = await store_reviews.add_review(tx, new_id(), booking, opinion)
    if review is None:
        raise AlreadyReviewed
    outbox.add_event(tx, "catalog", "review.created", review.id, events.review_created(review))
    return review
