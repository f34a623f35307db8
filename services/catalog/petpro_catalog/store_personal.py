"""Which rows of the catalog are about a person, what they are told of them, and what is left when they are erased."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, null, or_, update

from petpro_catalog.domain import StaffMember
from petpro_catalog.store_staff import member_of
from petpro_catalog.tables import reviews, staff, staff_accounts
from petpro_common.db import Transaction
from petpro_common.personal import erasure
from petpro_common.personal.held import Held

HELD = (
    Held(
        "clinics",
        "id, owner_id, name, address, city, province, postal_code, latitude, longitude, phone_number, email, website,"
        " description, operating_hours, facilities, status, commission_rate, created_at, updated_at, timezone,"
        " policy_version, version, review_count, rating_sum",
        theirs="owner_id = :user_id",
    ),
    Held(
        "staff",
        "id, clinic_id, name, email, phone, role, specialization, photo_url, working_hours, qualifications,"
        " created_at, updated_at, user_id, version",
    ),
    Held("staff_accounts", "id, staff_id, clinic_id, user_id, since, until"),
    Held(
        "reviews",
        "id, booking_id, user_id, clinic_id, service_id, rating, comment, attachments, is_verified, is_published,"
        " created_at, updated_at",
    ),
    Held("review_operations", "id, at, verb, review_id, user_id, reason", secrets="operator"),
    Held("completed_bookings", "booking_id, user_id, clinic_id, service_id, completed_at", key="booking_id"),
    erasure.HELD,
)


def forget_reviews(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves the ratings of people's reviews, which are their clinics' averages."""
    worded = or_(reviews.c.comment.is_not(None), reviews.c.attachments != [])
    statement = update(reviews).where(reviews.c.user_id.in_(user_ids), worded)
    tx.write(statement.values(comment=null(), attachments=[], updated_at=func.now()))


async def forget_staff(tx: Transaction, user_ids: Sequence[UUID]) -> list[StaffMember]:
    """Leaves role and hours in entries of staff that were people's own, and no account by which anybody acts for a
    clinic. The address is nobody's, and one that an entry may have: the clinic can edit it as before."""
    statement = (
        update(staff)
        .where(staff.c.user_id.in_(user_ids))
        .values(
            name="Erased",
            email=func.concat(staff.c.id, "@erased.invalid"),
            **dict.fromkeys(("phone", "specialization", "photo_url", "user_id"), null()),
            qualifications=[],
            version=staff.c.version + 1,
            updated_at=func.now(),
        )
        .returning(staff)
    )
    return [member_of(row) for row in await tx.execute(statement)]


def forget_accounts(tx: Transaction, user_ids: Sequence[UUID]) -> None:
    """Leaves nothing of whose accounts stood in which entries, and when. What still stands there is to be taken out
    before."""
    tx.write(delete(staff_accounts).where(staff_accounts.c.user_id.in_(user_ids)))
