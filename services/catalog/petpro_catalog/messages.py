"""Clinics, services, staff and reviews in protobuf, both ways."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import exceptional_days, hours, policy
from petpro_catalog.domain import (
    USUAL_COMMISSION,
    Clinic,
    ClinicDetails,
    ClinicStatus,
    Review,
    Service,
    ServiceDetails,
    StaffDetails,
    StaffMember,
)
from petpro_catalog.exceptional_days import ExceptionalDay, ExceptionalDays
from petpro_catalog.hours import Day, Week
from petpro_common.errors import FieldViolation, InvalidRequest
from petpro_common.ids import optional_id
from petpro_common.instants import timestamp
from petpro_common.masks import to_edit
from petpro_common.money import Money

CLINIC_FIELDS = tuple(ClinicDetails.__dataclass_fields__)
SERVICE_FIELDS = tuple(ServiceDetails.__dataclass_fields__)
STAFF_FIELDS = tuple(StaffDetails.__dataclass_fields__)
_USUAL_WITHOUT: Mapping[type[Message], frozenset[str]] = {
    pb.Clinic: frozenset({"operating_hours", "commission_rate", "timezone", "cancellation_policy"}),
    pb.Service: frozenset({"duration_minutes", "requires_approval", "is_available"}),
}
"""What is the usual where a new one is made without: an edit says what it is to be."""

_DEFAULT_ZONE = "Asia/Jakarta"
_DEFAULT_MINUTES = 30
_METRE_DIGITS = 3
DEGREE_DIGITS = 8

_STATUS_TO_PROTO: Mapping[ClinicStatus, pb.ClinicStatus.ValueType] = {
    ClinicStatus.PENDING: pb.CLINIC_STATUS_PENDING,
    ClinicStatus.APPROVED: pb.CLINIC_STATUS_APPROVED,
    ClinicStatus.REJECTED: pb.CLINIC_STATUS_REJECTED,
    ClinicStatus.SUSPENDED: pb.CLINIC_STATUS_SUSPENDED,
}
_STATUS_FROM_PROTO = {proto: status for status, proto in _STATUS_TO_PROTO.items()}

AnyMessage = TypeVar("AnyMessage", bound=Message)


def edited(current: AnyMessage, edit: AnyMessage, mask: FieldMask, editable: Sequence[str]) -> AnyMessage:
    """`current` with the fields that the mask is about taken from `edit`, each as a whole.

    Raises as `to_edit` does, and InvalidRequest when the mask names what would become the usual for want of a value.
    """
    fields = to_edit(edit, mask.paths, editable)
    _must_have_values(edit, _USUAL_WITHOUT.get(type(edit), frozenset()).intersection(fields))
    result, only = type(current)(), type(edit)()
    result.CopyFrom(current)
    only.CopyFrom(edit)
    for name in current.DESCRIPTOR.fields_by_name:
        (result if name in fields else only).ClearField(name)
    result.MergeFrom(only)
    return result


def _must_have_values(edit: Message, fields: AbstractSet[str]) -> None:
    missing = fields - {field.name for field, _ in edit.ListFields()}
    if missing:
        prefix, wrong = edit.DESCRIPTOR.name.lower(), "needs a value where update_mask names it"
        raise InvalidRequest(*(FieldViolation(f"{prefix}.{name}", wrong) for name in sorted(missing)))


def clinic_details(message: pb.Clinic) -> ClinicDetails:
    """What a caller writes of a clinic, with the domain document's defaults for what is left out."""
    return ClinicDetails(
        name=message.name.strip(),
        address=message.address.strip(),
        city=message.city.strip(),
        province=message.province.strip(),
        postal_code=message.postal_code.strip(),
        latitude=_degrees(message.latitude) if message.HasField("latitude") else None,
        longitude=_degrees(message.longitude) if message.HasField("longitude") else None,
        phone_number=message.phone_number.strip(),
        email=message.email.strip(),
        website=message.website.strip(),
        description=message.description.strip(),
        operating_hours=_week(message.operating_hours) or hours.USUAL,
        facilities=tuple(message.facilities),
        commission_rate=Decimal(message.commission_rate or USUAL_COMMISSION),
        timezone=message.timezone or _DEFAULT_ZONE,
        cancellation_policy=_policy_read(message) or policy.USUAL,
    )


def service_details(message: pb.Service) -> ServiceDetails:
    """What a caller writes of a service. Raises InvalidRequest when the price is no amount of money."""
    return ServiceDetails(
        name=message.name.strip(),
        description=message.description.strip(),
        price=Money.from_proto(message.price, "service.price"),
        duration_minutes=message.duration_minutes or _DEFAULT_MINUTES,
        requires_approval=message.requires_approval,
        is_available=message.is_available if message.HasField("is_available") else True,
        cancellation_policy=_policy_read(message),
        availability_exceptions=_exceptions_read(message),
    )


def staff_details(message: pb.Staff) -> StaffDetails:
    """What a caller writes of a member of staff. Raises InvalidRequest when `user_id` is no UUID."""
    return StaffDetails(
        name=message.name.strip(),
        email=message.email.strip(),
        phone=message.phone.strip(),
        role=message.role.strip(),
        specialization=message.specialization.strip(),
        photo_url=message.photo_url.strip(),
        working_hours=_week(message.working_hours),
        user_id=optional_id("staff.user_id", message.user_id),
        qualifications=tuple(each.strip() for each in message.qualifications),
    )


def status(value: pb.ClinicStatus.ValueType) -> ClinicStatus | None:
    """The status that is meant; None when unspecified."""
    return _STATUS_FROM_PROTO.get(value)


def clinic(found: Clinic, is_insider: bool) -> pb.Clinic:
    """A clinic; what is private in it for its insiders only."""
    details = found.details
    return pb.Clinic(
        id=str(found.id),
        owner_id=str(found.owner_id),
        name=details.name,
        address=details.address,
        city=details.city,
        province=details.province,
        postal_code=details.postal_code,
        latitude=None if details.latitude is None else float(details.latitude),
        longitude=None if details.longitude is None else float(details.longitude),
        phone_number=details.phone_number,
        email=details.email,
        website=details.website,
        description=details.description,
        operating_hours=_days(details.operating_hours),
        facilities=details.facilities,
        status=_STATUS_TO_PROTO[found.status],
        commission_rate=str(details.commission_rate) if is_insider else "",
        timezone=details.timezone,
        cancellation_policy=_policy(details.cancellation_policy, found.policy_version),
        distance_km=None if found.distance_km is None else round(found.distance_km, _METRE_DIGITS),
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        version=found.version,
        average_rating=None if found.average_rating is None else float(found.average_rating),
        review_count=found.review_count,
    )


def service(found: Service) -> pb.Service:
    """A service."""
    details = found.details
    return pb.Service(
        id=str(found.id),
        clinic_id=str(found.clinic_id),
        name=details.name,
        description=details.description,
        price=details.price.to_proto(),
        duration_minutes=details.duration_minutes,
        requires_approval=details.requires_approval,
        is_available=details.is_available,
        cancellation_policy=_policy(details.cancellation_policy, found.policy_version),
        availability_exceptions=_exceptions(details.availability_exceptions),
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        version=found.version,
    )


def staff(found: StaffMember, is_insider: bool) -> pb.Staff:
    """A member of staff; e-mail, phone and account for the clinic's insiders only."""
    details = found.details
    private = pb.Staff(email=details.email, phone=details.phone, user_id=str(details.user_id or ""))
    public = pb.Staff(
        id=str(found.id),
        clinic_id=str(found.clinic_id),
        name=details.name,
        role=details.role,
        specialization=details.specialization,
        photo_url=details.photo_url,
        working_hours=_days(details.working_hours or {}),
        qualifications=details.qualifications,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        version=found.version,
    )
    if is_insider:
        public.MergeFrom(private)
    return public


def review(found: Review) -> pb.Review:
    """A review."""
    return pb.Review(
        id=str(found.id),
        booking_id=str(found.booking_id),
        user_id=str(found.user_id),
        clinic_id=str(found.clinic_id),
        service_id=str(found.service_id),
        rating=found.opinion.rating,
        comment=found.opinion.comment,
        attachments=found.opinion.attachments,
        is_verified=found.is_verified,
        is_published=found.is_published,
        created_at=timestamp(found.created_at),
    )


def _policy(found: policy.Policy | None, version: int | None) -> pb.CancellationPolicy | None:
    if found is None:
        return None
    tiers = [
        pb.RefundTier(min_hours_before=tier.min_hours_before, refund_percent=tier.refund_percent)
        for tier in found.tiers
    ]
    return pb.CancellationPolicy(tiers=tiers, version=version or 0, no_show_fee_percent=found.no_show_fee_percent)


def _policy_read(message: pb.Clinic | pb.Service) -> policy.Policy | None:
    if not message.HasField("cancellation_policy"):
        return None
    wanted = message.cancellation_policy
    tiers = [policy.Tier(tier.min_hours_before, tier.refund_percent) for tier in wanted.tiers]
    fee = wanted.no_show_fee_percent if wanted.HasField("no_show_fee_percent") else policy.ALL
    return policy.Policy(policy.in_order(tiers), fee)


def _week(days: Mapping[str, pb.DayHours]) -> Week | None:
    if not days:
        return None
    return hours.week_of({name: _day_read(day) for name, day in days.items()})


def _days(week: Week) -> dict[str, pb.DayHours]:
    return {name: _day(day) for name, day in week.items()}


def _day_read(day: pb.DayHours) -> Day:
    return Day(day.open, day.close, day.is_open)


def _day(day: Day) -> pb.DayHours:
    return pb.DayHours(open=day.opens, close=day.closes, is_open=day.is_open)


def _exceptions_read(message: pb.Service) -> ExceptionalDays:
    named = message.availability_exceptions
    return exceptional_days.in_order(
        ExceptionalDay(one.date, _day_read(one.hours), one.reason.strip()) for one in named
    )


def _exceptions(days: ExceptionalDays) -> list[pb.AvailabilityException]:
    return [pb.AvailabilityException(date=day.date, hours=_day(day.hours), reason=day.reason) for day in days]


def _degrees(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-DEGREE_DIGITS))
