"""Whose zone rules slots go by, and where months begin by them: the summary asks PostgreSQL for no zone any more.

PostgreSQL takes CET, EET, MET and WET for abbreviations without summer time, and one zone that it did not know had the
whole summary fail. The view is made anew under its name with the same columns. From here until the first refresh by
this release it has months by UTC.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ZONE_RULES = """
CREATE TABLE zone_rules (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    release text NOT NULL
);
INSERT INTO zone_rules (release) VALUES ('');
"""

SUMMARY = """
CREATE TABLE local_months (
    timezone text NOT NULL,
    month date NOT NULL,
    starts_at timestamptz NOT NULL,
    PRIMARY KEY (timezone, month)
);

DROP MATERIALIZED VIEW clinic_booking_summary;

CREATE MATERIALIZED VIEW clinic_booking_summary AS
SELECT
    clinic_id,
    (utc.month + CASE WHEN created_at < this.starts_at THEN interval '-1 month'
        WHEN created_at >= next.starts_at THEN interval '1 month' ELSE interval '0' END)::date AS month,
    currency,
    COUNT(*) AS total_bookings,
    SUM(amount) AS total_revenue,
    SUM(amount) - COALESCE(SUM(CASE WHEN payment_id IS NULL THEN amount ELSE refund_amount END)
        FILTER (WHERE status IN ('cancelled', 'no-show')), 0) AS net_revenue,
    COUNT(*) FILTER (WHERE status = 'cancelled') AS cancelled_count
FROM bookings
CROSS JOIN LATERAL (SELECT date_trunc('month', created_at AT TIME ZONE 'UTC') AS month) AS utc
LEFT JOIN local_months AS this ON this.timezone = bookings.timezone AND this.month = utc.month::date
LEFT JOIN local_months AS next
    ON next.timezone = bookings.timezone AND next.month = (utc.month + interval '1 month')::date
GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX idx_clinic_booking_summary ON clinic_booking_summary (clinic_id, month, currency);
"""


def upgrade() -> None:
    op.execute(ZONE_RULES)
    op.execute(SUMMARY)
