"""What clinics, services, staff and reviews are, and who may do what with them.

A clinic's status, changed by administrators only:

    pending ──> approved <──> suspended
       └──> rejected ──^

Slots are made from the first approval on, at local times, so the time zone can be edited until then.

The public sees approved clinics alone; whoever has signed in sees a suspended one and its services by their ids, since
they may be booked there. Owner and staff (people whose account stands in a staff entry) are the clinic's
insiders: they see it in every status, and what is private in it. Only the owner edits it, and administrators.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from petpro_catalog.exceptional_days import ExceptionalDays
from petpro_catalog.hours import Week
from petpro_catalog.policy import Policy
from petpro_common.context import Caller, Role
from petpro_common.errors import AlreadyExists, Forbidden, NotFound, WrongState
from petpro_common.money import Money

USUAL_COMMISSION = Decimal("10.00")
"""Percent of the price that the platform keeps where nobody has said otherwise."""


class ClinicNotFound(NotFound):
    """There is no such clinic."""

    reason = "CLINIC_NOT_FOUND"


class ServiceNotFound(NotFound):
    """There is no such service."""

    reason = "SERVICE_NOT_FOUND"


class StaffNotFound(NotFound):
    """There is no such member of staff."""

    reason = "STAFF_NOT_FOUND"


class WrongClinicStatus(WrongState):
    """The clinic's status does not allow this."""

    reason = "WRONG_CLINIC_STATUS"


class ClinicTimezoneFixed(WrongState):
    """The clinic has been approved, and its slots stand at times of its zone."""

    reason = "CLINIC_TIMEZONE_FIXED"


class BookingNotReviewable(WrongState):
    """Only one's own completed booking can be reviewed, and not at one's own clinic."""

    reason = "BOOKING_NOT_REVIEWABLE"


class AlreadyReviewed(AlreadyExists):
    """The booking has a review already."""

    reason = "ALREADY_REVIEWED"


class ReviewNotFound(NotFound):
    """There is no such review."""

    reason = "REVIEW_NOT_FOUND"


class ClinicStatus(StrEnum):
    """Where a clinic stands with PetPro."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUSPENDED = "suspended"


_MAY_BECOME = {
    ClinicStatus.PENDING: {ClinicStatus.APPROVED, ClinicStatus.REJECTED},
    ClinicStatus.APPROVED: {ClinicStatus.SUSPENDED},
    ClinicStatus.SUSPENDED: {ClinicStatus.APPROVED},
    ClinicStatus.REJECTED: {ClinicStatus.APPROVED},
}


_BEFORE_THE_FIRST_APPROVAL = {ClinicStatus.PENDING, ClinicStatus.REJECTED}


@dataclass(frozen=True)
class ClinicDetails:
    """What can be edited of a clinic. `commission_rate` is percent; degrees are WGS 84."""

    name: str
    address: str
    city: str
    province: str
    postal_code: str
    latitude: Decimal | None
    longitude: Decimal | None
    phone_number: str
    email: str
    website: str
    description: str
    operating_hours: Week
    facilities: tuple[str, ...]
    commission_rate: Decimal
    timezone: str
    cancellation_policy: Policy


@dataclass(frozen=True)
class Clinic:
    """A clinic as it is stored, with what the search and its reviews say of it."""

    id: UUID
    owner_id: UUID
    status: ClinicStatus
    details: ClinicDetails
    policy_version: int
    version: int
    created_at: datetime
    updated_at: datetime
    viewer_works_here: bool
    average_rating: Decimal | None
    review_count: int
    distance_km: float | None = None


@dataclass(frozen=True)
class ServiceDetails:
    """What can be edited of a service. Without a `cancellation_policy` of its own the clinic's holds."""

    name: str
    description: str
    price: Money
    duration_minutes: int
    requires_approval: bool
    is_available: bool
    cancellation_policy: Policy | None
    availability_exceptions: ExceptionalDays


@dataclass(frozen=True)
class Service:
    """Something that can be booked at a clinic. `policy_version` is that of its own policy."""

    id: UUID
    clinic_id: UUID
    details: ServiceDetails
    policy_version: int | None
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class StaffDetails:
    """What can be edited of a member of staff. Without `working_hours` the clinic's hours hold."""

    name: str
    email: str
    phone: str
    role: str
    specialization: str
    photo_url: str
    working_hours: Week | None
    user_id: UUID | None
    qualifications: tuple[str, ...]


@dataclass(frozen=True)
class StaffMember:
    """Somebody who works at a clinic."""

    id: UUID
    clinic_id: UUID
    details: StaffDetails
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class CompletedBooking:
    """A booking that took place: what gives its customer the right to one review."""

    booking_id: UUID
    user_id: UUID
    clinic_id: UUID
    service_id: UUID
    completed_at: datetime


@dataclass(frozen=True)
class Opinion:
    """What a customer says in a review. `rating` is 1 to 5; `attachments` are https addresses."""

    rating: int
    comment: str
    attachments: tuple[str, ...]


@dataclass(frozen=True)
class Review:
    """What a customer says of a completed booking."""

    id: UUID
    booking_id: UUID
    user_id: UUID
    clinic_id: UUID
    service_id: UUID
    opinion: Opinion
    is_verified: bool
    is_published: bool
    created_at: datetime


def is_insider(clinic: Clinic, caller: Caller | None) -> bool:
    """Whether the caller may see what is private in the clinic."""
    return caller is not None and (caller.is_trusted or owns(clinic, caller) or clinic.viewer_works_here)


def owns(clinic: Clinic, caller: Caller) -> bool:
    """Whether the clinic is the caller's own."""
    return caller.role is not Role.SERVICE and clinic.owner_id == caller.user_id


def check_visible(clinic: Clinic | None, caller: Caller | None) -> Clinic:
    """The clinic. Raises ClinicNotFound when it is not there for this caller."""
    if clinic is None or not (clinic.status is ClinicStatus.APPROVED or is_insider(clinic, caller)):
        raise ClinicNotFound
    return clinic


def check_reachable(clinic: Clinic | None, caller: Caller | None) -> Clinic:
    """As `check_visible`, but a suspended clinic is there for everybody who has signed in."""
    if clinic and clinic.status is ClinicStatus.SUSPENDED and caller:
        return clinic
    return check_visible(clinic, caller)


def check_editable(clinic: Clinic | None, caller: Caller) -> Clinic:
    """The clinic. Raises ClinicNotFound when the caller cannot see it, Forbidden when they may not edit it."""
    visible = check_visible(clinic, caller)
    if not (caller.is_admin or owns(visible, caller)):
        raise Forbidden
    return visible


def check_can_become(current: ClinicStatus, wanted: ClinicStatus) -> None:
    """Raises WrongClinicStatus when the drawing above has no such way."""
    if wanted not in _MAY_BECOME[current]:
        raise WrongClinicStatus(status=current)


def check_timezone(clinic: Clinic, wanted: str) -> None:
    """Raises ClinicTimezoneFixed when a clinic that has been approved, if ever, would change its zone."""
    if wanted != clinic.details.timezone and clinic.status not in _BEFORE_THE_FIRST_APPROVAL:
        raise ClinicTimezoneFixed(timezone=clinic.details.timezone)
