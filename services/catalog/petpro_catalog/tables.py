"""The tables of the catalog, as the migrations leave them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from petpro_catalog.domain import USUAL_COMMISSION

metadata = MetaData()


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True, server_default=text("uuidv7()"))


def _times() -> tuple[Column[object], Column[object]]:
    now = text("CURRENT_TIMESTAMP")
    return (
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=now),
    )


def _version() -> Column[object]:
    return Column("version", BigInteger, nullable=False, server_default="1")


def _policy() -> tuple[Column[object], ...]:
    return (
        Column("tiers", JSONB, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("CURRENT_TIMESTAMP")),
        Column("no_show_fee_percent", SmallInteger, nullable=False, server_default="100"),
    )


def _of_clinic() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name="fk_clinic", ondelete="RESTRICT")


clinics = Table(
    "clinics",
    metadata,
    _id(),
    Column("owner_id", Uuid, nullable=False),
    Column("name", String(255), nullable=False),
    Column("address", Text, nullable=False),
    Column("city", String(100), nullable=False),
    Column("province", String(100), nullable=False),
    Column("postal_code", String(10), nullable=False),
    Column("latitude", Numeric(10, 8)),
    Column("longitude", Numeric(11, 8)),
    Column("phone_number", String(20), nullable=False),
    Column("email", String(255), nullable=False),
    Column("website", String(255)),
    Column("description", Text),
    Column("operating_hours", JSONB, nullable=False),
    Column("facilities", JSONB, nullable=False, server_default="[]"),
    Column("status", String(20), nullable=False, server_default="pending"),
    Column("commission_rate", Numeric(5, 2), nullable=False, server_default=str(USUAL_COMMISSION)),
    *_times(),
    Column("timezone", String(64), nullable=False, server_default="Asia/Jakarta"),
    Column("policy_version", Integer, nullable=False, server_default="1"),
    _version(),
    Column("review_count", BigInteger, nullable=False, server_default="0"),  # of the published; a trigger counts
    Column("rating_sum", BigInteger, nullable=False, server_default="0"),
    ForeignKeyConstraint(
        ["id", "policy_version"],
        ["cancellation_policies.clinic_id", "cancellation_policies.version"],
        name="fk_policy",
        deferrable=True,
        initially="DEFERRED",
        use_alter=True,
    ),
)

cancellation_policies = Table(
    "cancellation_policies",
    metadata,
    Column("clinic_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    *_policy(),
    _of_clinic(),
)

services = Table(
    "services",
    metadata,
    _id(),
    Column("clinic_id", Uuid, nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("price", Numeric(12, 2), nullable=False),
    Column("duration_minutes", Integer, nullable=False, server_default="30"),
    Column("requires_approval", Boolean, nullable=False, server_default=text("false")),
    Column("is_available", Boolean, nullable=False, server_default=text("true")),
    Column("availability_exceptions", JSONB, nullable=False, server_default="[]"),
    *_times(),
    Column("currency", String(3), nullable=False, server_default="IDR"),
    _version(),
    Column("policy_version", Integer),  # none: the clinic's policy holds
    _of_clinic(),
    ForeignKeyConstraint(
        ["id", "policy_version"],
        ["service_policies.service_id", "service_policies.version"],
        name="fk_policy",
        deferrable=True,
        initially="DEFERRED",
        use_alter=True,
    ),
)

service_policies = Table(
    "service_policies",
    metadata,
    Column("service_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    *_policy(),
    ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_service", ondelete="RESTRICT"),
)

staff = Table(
    "staff",
    metadata,
    _id(),
    Column("clinic_id", Uuid, nullable=False),
    Column("name", String(255), nullable=False),
    Column("email", String(255), nullable=False),
    Column("phone", String(20)),
    Column("role", String(50), nullable=False),
    Column("specialization", String(100)),
    Column("photo_url", String(255)),
    Column("working_hours", JSONB(none_as_null=True)),
    Column("qualifications", JSONB, nullable=False, server_default="[]"),
    *_times(),
    Column("user_id", Uuid),
    _version(),
    _of_clinic(),
)

staff_accounts = Table(
    "staff_accounts",
    metadata,
    _id(),
    Column("staff_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True)),  # none: the account stands there
)
"""Whose account stood in which entry, and when. A trigger of `staff` keeps it."""

reviews = Table(
    "reviews",
    metadata,
    _id(),
    Column("booking_id", Uuid, nullable=False, unique=True),
    Column("user_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("comment", Text),
    Column("attachments", JSONB, nullable=False, server_default="[]"),
    Column("is_verified", Boolean, nullable=False, server_default=text("true")),
    Column("is_published", Boolean, nullable=False, server_default=text("true")),
    *_times(),
    _of_clinic(),
    ForeignKeyConstraint(["service_id"], ["services.id"], name="fk_service", ondelete="RESTRICT"),
)

completed_bookings = Table(
    "completed_bookings",
    metadata,
    Column("booking_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("completed_at", DateTime(timezone=True), nullable=False),
)

review_operations = Table(
    "review_operations",
    metadata,
    _id(),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("operator", Text, nullable=False),
    Column("verb", String(30), nullable=False),
    Column("review_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),  # whose review it is
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["review_id"], ["reviews.id"], name="fk_review", ondelete="RESTRICT"),
)
"""What administrators did about reviews; only added to."""
