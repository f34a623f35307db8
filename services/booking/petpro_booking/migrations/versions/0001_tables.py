"""Slots, reservations, bookings, their partitions, the projections and the monthly summary."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.messaging.schema import MESSAGING_V1
from petpro_common.saga.schema import SAGA_V1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A CHECK that comes out NULL passes, and the date of an id that carries none is NULL: hence IS NOT DISTINCT FROM.
SLOTS = """
CREATE TABLE slots (
    id uuid NOT NULL,
    service_id uuid NOT NULL,
    staff_id uuid,
    slot_date date NOT NULL,
    slot_start_time time NOT NULL,
    slot_end_time time NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'available' CHECK (status IN ('available', 'booked', 'blocked')),
    capacity integer NOT NULL DEFAULT 1,
    booked_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    clinic_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,

    PRIMARY KEY (id, slot_date),
    CONSTRAINT id_carries_slot_date
        CHECK (slot_date IS NOT DISTINCT FROM (uuid_extract_timestamp(id) AT TIME ZONE 'UTC')::date),
    CONSTRAINT valid_slot_time CHECK (ends_at > starts_at AND ends_at - starts_at <= interval '24 hours'),
    CONSTRAINT valid_capacity CHECK (capacity > 0),
    CONSTRAINT valid_booked_count CHECK (booked_count >= 0 AND booked_count <= capacity),
    CONSTRAINT status_tells_seats CHECK (status = 'blocked' OR (status = 'booked') = (booked_count = capacity)),
    CONSTRAINT one_slot_at_a_time UNIQUE NULLS NOT DISTINCT (service_id, staff_id, slot_date, starts_at)
) PARTITION BY RANGE (slot_date);

CREATE INDEX idx_slots_staff ON slots (staff_id) WHERE staff_id IS NOT NULL;
CREATE INDEX idx_slots_date_time ON slots (slot_date, slot_start_time);
CREATE INDEX idx_slots_status ON slots (status) WHERE status = 'blocked';
CREATE INDEX idx_slots_service_date ON slots (service_id, slot_date);
"""

# A constraint of a partitioned table ends where a partition ends; a person's day does not. So the times of all staff
# lie in one table of their own. A blocked slot still occupies: what is booked in it stands, and it can be unblocked.
OCCUPANCY = """
CREATE TABLE staff_occupancy (
    slot_id uuid PRIMARY KEY,
    slot_date date NOT NULL,
    staff_id uuid NOT NULL,
    during tstzrange NOT NULL,
    FOREIGN KEY (slot_id, slot_date) REFERENCES slots (id, slot_date) ON DELETE CASCADE,
    CONSTRAINT one_place_at_a_time EXCLUDE USING gist (staff_id WITH =, during WITH &&)
);

CREATE FUNCTION occupy_staff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM staff_occupancy WHERE slot_id = OLD.id;
    END IF;
    IF NEW.staff_id IS NOT NULL THEN
        INSERT INTO staff_occupancy (slot_id, slot_date, staff_id, during)
        VALUES (NEW.id, NEW.slot_date, NEW.staff_id, tstzrange(NEW.starts_at, NEW.ends_at));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER slots_occupy_staff AFTER INSERT OR UPDATE OF id, slot_date, staff_id, starts_at, ends_at ON slots
    FOR EACH ROW EXECUTE FUNCTION occupy_staff();
"""

RESERVATIONS = """
CREATE TABLE reservations (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    pet_id uuid NOT NULL,
    service_id uuid NOT NULL,
    slot_id uuid NOT NULL,
    lock_id varchar(100) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'confirmed', 'cancelled', 'expired')),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    slot_date date NOT NULL,
    clinic_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    price numeric(12,2) NOT NULL CHECK (price >= 0),
    currency varchar(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    commission_rate numeric(5,2) NOT NULL CHECK (commission_rate BETWEEN 0 AND 100),
    cancellation_policy jsonb NOT NULL,
    requires_approval boolean NOT NULL,
    checkout_status text NOT NULL DEFAULT 'none'
        CHECK (checkout_status IN ('none', 'awaiting_approval', 'awaiting_payment', 'confirmed', 'failed')),
    checkout_saga_id uuid,
    checkout_count integer NOT NULL DEFAULT 0 CHECK (checkout_count >= 0),
    failure_reason text,
    booking_id uuid,
    payment_id uuid,
    notes text,

    PRIMARY KEY (id, created_at),
    CONSTRAINT id_carries_created_at CHECK (created_at IS NOT DISTINCT FROM uuid_extract_timestamp(id)),
    CONSTRAINT fk_slot FOREIGN KEY (slot_id, slot_date) REFERENCES slots (id, slot_date) ON DELETE RESTRICT
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_reservations_user ON reservations (user_id);
CREATE INDEX idx_reservations_service ON reservations (service_id);
CREATE INDEX idx_reservations_slot ON reservations (slot_id);
CREATE INDEX idx_reservations_status ON reservations (status) WHERE status = 'pending';
CREATE INDEX idx_reservations_expiry ON reservations (expires_at) WHERE status = 'pending';
"""

# A UNIQUE of a partitioned table must hold the partition key, so what is unique over all time has a table of its own.
BOOKINGS = """
CREATE TABLE reference_codes (
    reference_code varchar(20) PRIMARY KEY,
    booking_id uuid NOT NULL UNIQUE,
    reservation_id uuid UNIQUE
);

CREATE TABLE bookings (
    id uuid NOT NULL,
    reservation_id uuid,
    user_id uuid NOT NULL,
    pet_id uuid NOT NULL,
    clinic_id uuid NOT NULL,
    service_id uuid NOT NULL,
    slot_id uuid NOT NULL,
    payment_id uuid,
    reference_code varchar(20) NOT NULL REFERENCES reference_codes (reference_code),
    amount numeric(12,2) NOT NULL CHECK (amount >= 0),
    status varchar(20) NOT NULL DEFAULT 'confirmed'
        CHECK (status IN ('confirmed', 'in-progress', 'completed', 'cancelled', 'no-show')),
    cancellation_reason text,
    notes text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    slot_date date NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    timezone text NOT NULL,
    currency varchar(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    commission_rate numeric(5,2) NOT NULL CHECK (commission_rate BETWEEN 0 AND 100),
    cancellation_policy jsonb NOT NULL,
    cancellation_status text NOT NULL DEFAULT 'none'
        CHECK (cancellation_status IN ('none', 'requested', 'cancelled', 'refused')),
    cancellation_saga_id uuid,
    cancellation_count integer NOT NULL DEFAULT 0 CHECK (cancellation_count >= 0),
    cancelled_by text CHECK (cancelled_by IN ('customer', 'clinic', 'admin', 'service')),
    refund_amount numeric(12,2) CHECK (refund_amount BETWEEN 0 AND amount),
    refund_status text CHECK (refund_status IN ('none', 'pending', 'succeeded', 'manual', 'refused')),

    PRIMARY KEY (id, created_at),
    CONSTRAINT id_carries_created_at CHECK (created_at IS NOT DISTINCT FROM uuid_extract_timestamp(id)),
    CONSTRAINT fk_slot FOREIGN KEY (slot_id, slot_date) REFERENCES slots (id, slot_date) ON DELETE RESTRICT
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_bookings_clinic ON bookings (clinic_id, created_at, id);
CREATE INDEX idx_bookings_service ON bookings (service_id);
CREATE INDEX idx_bookings_slot ON bookings (slot_id);
CREATE INDEX idx_bookings_reference ON bookings (reference_code);
CREATE INDEX idx_bookings_status ON bookings (status) WHERE status IN ('confirmed', 'in-progress');
CREATE INDEX idx_bookings_created ON bookings (created_at);
CREATE INDEX idx_bookings_user_status ON bookings (user_id, status);
"""

# Offsets stand in the bounds, so that they mean the same in every session. Of two who ask for one partition the second
# waits, and finds it.
PARTITIONS = """
CREATE FUNCTION ensure_slot_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', day::timestamp)::date;
    name text := 'slots_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN RETURN false; END IF;
    PERFORM pg_advisory_xact_lock(hashtext(name));
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN RETURN false; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF slots FOR VALUES FROM (%L) TO (%L)',
                   name, first, (first + interval '1 month')::date);
    RETURN true;
END $$;

CREATE FUNCTION ensure_quarter_partition(parent text, at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first timestamp := date_trunc('quarter', at AT TIME ZONE 'UTC');
    name text := parent || '_' || to_char(first, 'YYYY_"q"Q');
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN RETURN false; END IF;
    PERFORM pg_advisory_xact_lock(hashtext(name));
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN RETURN false; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent,
                   to_char(first, 'YYYY-MM-DD HH24:MI:SS') || '+00',
                   to_char(first + interval '3 months', 'YYYY-MM-DD HH24:MI:SS') || '+00');
    RETURN true;
END $$;

SELECT ensure_slot_partition((CURRENT_DATE + make_interval(months => n))::date) FROM generate_series(-1, 4) AS n;
SELECT ensure_quarter_partition(parent, CURRENT_TIMESTAMP + make_interval(months => n * 3))
    FROM generate_series(-1, 3) AS n, unnest(ARRAY['reservations', 'bookings']) AS parent;
"""

PROJECTIONS = """
CREATE TABLE catalog_clinics (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    timezone text NOT NULL,
    commission_rate numeric(5,2) NOT NULL,
    cancellation_policy jsonb NOT NULL,
    operating_hours jsonb NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE catalog_services (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL,
    name text NOT NULL,
    price numeric(12,2) NOT NULL,
    currency varchar(3) NOT NULL,
    duration_minutes integer NOT NULL,
    requires_approval boolean NOT NULL,
    is_available boolean NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE catalog_staff (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL,
    user_id uuid,
    working_hours jsonb NOT NULL,
    version bigint NOT NULL
);
CREATE INDEX idx_catalog_staff_user ON catalog_staff (user_id, clinic_id) WHERE user_id IS NOT NULL;
CREATE TABLE account_pets (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    is_deleted boolean NOT NULL,
    version bigint NOT NULL
);
"""

# The month is the one in which the clinic's own calendar stood when the booking was made.
SUMMARY = """
CREATE MATERIALIZED VIEW clinic_booking_summary AS
SELECT
    clinic_id,
    date_trunc('month', created_at AT TIME ZONE timezone)::date AS month,
    currency,
    COUNT(*) AS total_bookings,
    SUM(amount) AS total_revenue,
    SUM(amount) - COALESCE(SUM(refund_amount) FILTER (WHERE status = 'cancelled'), 0) AS net_revenue,
    COUNT(*) FILTER (WHERE status = 'cancelled') AS cancelled_count
FROM bookings
GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX idx_clinic_booking_summary ON clinic_booking_summary (clinic_id, month, currency);

CREATE OR REPLACE FUNCTION refresh_materialized_views() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY clinic_booking_summary;
    RETURN;
END $$;
"""


def upgrade() -> None:
    for part in (SLOTS, OCCUPANCY, RESERVATIONS, BOOKINGS, PARTITIONS, PROJECTIONS, SUMMARY):
        op.execute(part)
    for part in (MESSAGING_V1, IDEMPOTENCY_V1, SAGA_V1):
        op.execute(part)
