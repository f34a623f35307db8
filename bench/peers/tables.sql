-- The peers' copies of the tables that a cancellation touches: the same columns that it reads and writes, unpartitioned.
CREATE TABLE slots (
    id uuid PRIMARY KEY,
    capacity integer NOT NULL,
    booked_count integer NOT NULL CHECK (booked_count BETWEEN 0 AND capacity)
);
CREATE TABLE bookings (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    clinic_id uuid NOT NULL,
    slot_id uuid NOT NULL REFERENCES slots (id),
    payment_id uuid NOT NULL,
    amount numeric(12, 2) NOT NULL,
    status text NOT NULL,
    cancellation_status text NOT NULL,
    cancellation_reason text,
    cancellation_count integer NOT NULL,
    refund_amount numeric(12, 2),
    refund_status text,
    updated_at timestamptz NOT NULL
);
CREATE INDEX ON bookings (clinic_id, id);
CREATE INDEX ON bookings (user_id, status);
CREATE INDEX ON bookings (slot_id);
CREATE TABLE payments (
    id uuid PRIMARY KEY,
    booking_id uuid NOT NULL,
    external_reference text NOT NULL,
    amount numeric(12, 2) NOT NULL,
    captured numeric(12, 2) NOT NULL,
    refund_reserved numeric(12, 2) NOT NULL,
    refund_done numeric(12, 2) NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (refund_reserved >= 0 AND refund_done >= 0 AND refund_reserved + refund_done <= captured)
);
CREATE INDEX ON payments (booking_id);
CREATE TABLE refunds (
    id uuid PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments (id),
    booking_id uuid NOT NULL,
    amount numeric(12, 2) NOT NULL CHECK (amount > 0),
    status text NOT NULL,
    external_reference text,
    updated_at timestamptz NOT NULL
);
CREATE INDEX ON refunds (payment_id);
CREATE TABLE financial_entries (
    id uuid PRIMARY KEY,
    booking_id uuid NOT NULL,
    clinic_id uuid NOT NULL,
    refund_id uuid NOT NULL REFERENCES refunds (id),
    total_amount numeric(12, 2) NOT NULL,
    status text NOT NULL,
    settlement_date timestamptz
);
CREATE INDEX ON financial_entries (booking_id);
CREATE INDEX ON financial_entries (clinic_id, id);
CREATE TABLE events (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    booking_id uuid NOT NULL,
    type text NOT NULL,
    body jsonb NOT NULL
);
