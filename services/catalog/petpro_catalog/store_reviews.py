"""Every SQL statement about reviews, what was done about them, and the completed bookings that they are about."""

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import ColumnElement, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert

from petpro_catalog.domain import CompletedBooking, Opinion, Review
from petpro_catalog.tables import completed_bookings, review_operations, reviews
from petpro_common.db import Row, Transaction


async def completed_booking(tx: Transaction, booking_id: UUID) -> CompletedBooking | None:
    """A booking that is known to be completed."""
    query = select(completed_bookings).where(completed_bookings.c.booking_id == booking_id)
    row = (await tx.execute(query)).first()
    return CompletedBooking(**row._asdict()) if row else None


def add_completed_booking(tx: Transaction, booking: CompletedBooking) -> None:
    """Remembers a completed booking; one that is known already stays as it is."""
    tx.write(insert(completed_bookings).values(**asdict(booking)).on_conflict_do_nothing())


async def add_review(tx: Transaction, review_id: UUID, booking: CompletedBooking, opinion: Opinion) -> Review | None:
    """A new review, or None when the booking has one: of two at the same instant one gets None."""
    statement = (
        insert(reviews)
        .values(
            id=review_id,
            booking_id=booking.booking_id,
            user_id=booking.user_id,
            clinic_id=booking.clinic_id,
            service_id=booking.service_id,
            rating=opinion.rating,
            comment=opinion.comment or None,
            attachments=list(opinion.attachments),
        )
        .on_conflict_do_nothing(index_elements=[reviews.c.booking_id])
        .returning(reviews)
    )
    row = (await tx.execute(statement)).first()
    return _review(row) if row else None


async def review_of(tx: Transaction, booking_id: UUID) -> Review | None:
    """The review of a booking, published or not."""
    return await _one(tx, reviews.c.booking_id == booking_id)


async def locked_review(tx: Transaction, review_id: UUID) -> Review | None:
    """A review, under its row's lock: of two who decide on it at once the second sees what the first made of it."""
    return await _one(tx, reviews.c.id == review_id, lock=True)


async def _one(tx: Transaction, which: ColumnElement[bool], *, lock: bool = False) -> Review | None:
    query = select(reviews).where(which)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return _review(row) if row else None


def set_published(tx: Transaction, review_id: UUID, *, is_published: bool) -> None:
    """Gives a review to the public or takes it away; a trigger has the clinic's rating follow."""
    statement = update(reviews).where(reviews.c.id == review_id)
    tx.write(statement.values(is_published=is_published, updated_at=func.now()))


def note_operation(tx: Transaction, operator: UUID, verb: str, review: Review, reason: str) -> None:
    """Keeps who did what about a review, and why; the database lets nobody change it."""
    row = {"operator": str(operator), "verb": verb, "review_id": review.id, "user_id": review.user_id, "reason": reason}
    tx.write(insert(review_operations).values(row))


async def reviews_of(
    tx: Transaction, clinic_id: UUID, after: UUID | None, limit: int, *, published: bool
) -> list[Review]:
    """A clinic's reviews, published or not, newest first (ids carry their time), after the id `after`."""
    wanted = reviews.c.is_published if published else not_(reviews.c.is_published)
    query = select(reviews).where(reviews.c.clinic_id == clinic_id, wanted)
    if after:
        query = query.where(reviews.c.id < after)
    rows = (await tx.execute(query.order_by(reviews.c.id.desc()).limit(limit))).all()
    return [_review(row) for row in rows]


def _review(row: Row) -> Review:
    return Review(
        id=row.id,
        booking_id=row.booking_id,
        user_id=row.user_id,
        clinic_id=row.clinic_id,
        service_id=row.service_id,
        opinion=Opinion(row.rating, row.comment or "", tuple(row.attachments)),
        is_verified=row.is_verified,
        is_published=row.is_published,
        created_at=row.created_at,
    )
