"""What is done with reviews: one for each completed booking, by its customer, about a clinic of others.

    published ──unpublish──> unpublished
        ^──────publish────────╯

An administrator alone takes one from the public or gives it back. Its author and the clinic see it all the same.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from petpro_catalog import clinics, events, store_clinics, store_reviews, store_staff
from petpro_catalog.domain import (
    AlreadyReviewed,
    BookingNotReviewable,
    CompletedBooking,
    Opinion,
    Review,
    ReviewNotFound,
    is_insider,
)
from petpro_common.context import Caller
from petpro_common.db import Transaction
from petpro_common.ids import instant_of, new_id
from petpro_common.messaging import outbox


@dataclass(frozen=True)
class Decision:
    """Whether an operator wants a review to be public, and why. With `dry_run` nothing is changed or kept."""

    operator: UUID
    review_id: UUID
    is_published: bool
    reason: str
    dry_run: bool

    @property
    def verb(self) -> str:
        """What it is called in `review_operations`."""
        return "publish" if self.is_published else "unpublish"


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


async def of_booking(tx: Transaction, booking_id: UUID, caller: Caller) -> Review:
    """The review of a booking, for its author and the clinic's insiders. Raises ReviewNotFound to everybody else."""
    review = await store_reviews.review_of(tx, booking_id)
    if review is None:
        raise ReviewNotFound
    clinic = await store_clinics.clinic(tx, review.clinic_id, clinics.viewer(caller))
    if clinics.viewer(caller) != review.user_id and not (clinic and is_insider(clinic, caller)):
        raise ReviewNotFound
    return review


async def decide(tx: Transaction, decision: Decision) -> Review:
    """Gives a review to the public, or takes it away; what changes is told as review.changed. Raises ReviewNotFound."""
    found = await store_reviews.locked_review(tx, decision.review_id)
    if found is None:
        raise ReviewNotFound
    decided = replace(found, is_published=decision.is_published)
    if decision.dry_run:
        return decided
    store_reviews.note_operation(tx, decision.operator, decision.verb, found, decision.reason)
    if decided != found:
        store_reviews.set_published(tx, decision.review_id, is_published=decision.is_published)
        outbox.add_event(tx, "catalog", "review.changed", found.id, events.review_changed(decided))
    return decided
