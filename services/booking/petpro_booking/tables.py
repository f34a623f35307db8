"""The tables that booking owns. A test holds them against the migrated database; what they guard is in the migration.

`slots` is partitioned by `slot_date`, `reservations` and `bookings` by `created_at`. The ids carry these dates
(UUIDv7), so a look-up by id adds `created_at = uuid_extract_timestamp(id)` and reads one partition.

`catalog_*` and `account_*` are projections: copies of what other services own, fed by their events.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE
from sqlalchemy.types import BigInteger

metadata = MetaData()

_INSTANT = DateTime(timezone=True)
_MONEY = Numeric(12, 2)
_NOW = text("CURRENT_TIMESTAMP")


slots = Table(
    "slots",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("service_id", Uuid, nullable=False),
    Column("staff_id", Uuid),
    Column("slot_date", Date, primary_key=True),
    Column("slot_start_time", Time, nullable=False),
    Column("slot_end_time", Time, nullable=False),
    Column("status", String(20), nullable=False, server_default="available"),
    Column("capacity", Integer, nullable=False, server_default="1"),
    Column("booked_count", Integer, nullable=False, server_default="0"),
    Column("created_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("updated_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("clinic_id", Uuid, nullable=False),
    Column("starts_at", _INSTANT, nullable=False),
    Column("ends_at", _INSTANT, nullable=False),
)

staff_occupancy = Table(
    "staff_occupancy",
    metadata,
    Column("slot_id", Uuid, primary_key=True),
    Column("slot_date", Date, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("during", TSTZRANGE, nullable=False),
    ForeignKeyConstraint(["slot_id", "slot_date"], ["slots.id", "slots.slot_date"], ondelete="CASCADE"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("pet_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("slot_id", Uuid, nullable=False),
    Column("lock_id", String(100), nullable=False),
    Column("status", String(20), nullable=False, server_default="pending"),
    Column("expires_at", _INSTANT, nullable=False),
    Column("created_at", _INSTANT, primary_key=True),
    Column("updated_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("slot_date", Date, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("starts_at", _INSTANT, nullable=False),
    Column("price", _MONEY, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("commission_rate", Numeric(5, 2), nullable=False),
    Column("cancellation_policy", JSONB, nullable=False),
    Column("requires_approval", Boolean, nullable=False),
    Column("checkout_status", Text, nullable=False, server_default="none"),
    Column("checkout_saga_id", Uuid),
    Column("checkout_count", Integer, nullable=False, server_default="0"),
    Column("failure_reason", Text),
    Column("booking_id", Uuid),
    Column("payment_id", Uuid),
    Column("notes", Text),
    Column("approved_at", _INSTANT),
    ForeignKeyConstraint(["slot_id", "slot_date"], ["slots.id", "slots.slot_date"], ondelete="RESTRICT"),
)

reference_codes = Table(
    "reference_codes",
    metadata,
    Column("reference_code", String(20), primary_key=True),
    Column("booking_id", Uuid, nullable=False, unique=True),
    Column("reservation_id", Uuid, unique=True),
)

bookings = Table(
    "bookings",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("reservation_id", Uuid),
    Column("user_id", Uuid, nullable=False),
    Column("pet_id", Uuid, nullable=False),
    Column("clinic_id", Uuid, nullable=False),
    Column("service_id", Uuid, nullable=False),
    Column("slot_id", Uuid, nullable=False),
    Column("payment_id", Uuid),
    Column("reference_code", String(20), ForeignKey("reference_codes.reference_code"), nullable=False),
    Column("amount", _MONEY, nullable=False),
    Column("status", String(20), nullable=False, server_default="confirmed"),
    Column("cancellation_reason", Text),
    Column("notes", Text),
    Column("created_at", _INSTANT, primary_key=True),
    Column("updated_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("slot_date", Date, nullable=False),
    Column("starts_at", _INSTANT, nullable=False),
    Column("ends_at", _INSTANT, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("commission_rate", Numeric(5, 2), nullable=False),
    Column("cancellation_policy", JSONB, nullable=False),
    Column("refund_ceiling", SmallInteger, nullable=False, server_default="100"),  # percent; a move lowers it
    Column("refund_floor", SmallInteger, nullable=False, server_default="0"),  # percent; `policy` says what raises it
    Column("cancellation_status", Text, nullable=False, server_default="none"),
    Column("cancellation_saga_id", Uuid),
    Column("cancellation_count", Integer, nullable=False, server_default="0"),
    Column("cancelled_by", Text),
    Column("refund_amount", _MONEY),
    Column("refund_status", Text),
    Column("start_told_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("called_off_reason", Text),  # by the clinic, while a customer's cancellation was on its way
    ForeignKeyConstraint(["slot_id", "slot_date"], ["slots.id", "slots.slot_date"], ondelete="RESTRICT"),
)

zone_rules = Table(
    "zone_rules",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default=text("true")),
    Column("release", Text, nullable=False),  # of IANA's database, the newest by which slots were moved
)

local_months = Table(
    "local_months",
    metadata,
    Column("timezone", Text, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("starts_at", _INSTANT, nullable=False),
)

catalog_clinics = Table(
    "catalog_clinics",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("commission_rate", Numeric(5, 2), nullable=False),
    Column("cancellation_policy", JSONB, nullable=False),
    Column("operating_hours", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
)

catalog_services = Table(
    "catalog_services",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("clinic_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("price", _MONEY, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("duration_minutes", Integer, nullable=False),
    Column("requires_approval", Boolean, nullable=False),
    Column("is_available", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("cancellation_policy", JSONB(none_as_null=True)),  # none: the clinic's holds
    Column("availability_exceptions", JSONB, nullable=False, server_default="[]"),
)

catalog_staff = Table(
    "catalog_staff",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("clinic_id", Uuid, nullable=False),
    Column("user_id", Uuid),
    Column("working_hours", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
)

account_pets = Table(
    "account_pets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
)
