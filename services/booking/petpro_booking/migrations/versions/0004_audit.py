"""Indexes by which the auditor finds what changed since it last looked."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The auditor also asks, of the bookings that it suspects, which a saga still works on; those sagas are few.
CHANGES = """
CREATE INDEX idx_slots_updated ON slots (updated_at);
CREATE INDEX idx_reservations_updated ON reservations (updated_at);
CREATE INDEX idx_bookings_updated ON bookings (updated_at);
CREATE INDEX idx_sagas_updated ON sagas (updated_at);
CREATE INDEX idx_sagas_unended_booking ON sagas ((data->>'booking_id'))
    WHERE status IN ('running', 'compensating', 'parked');
CREATE INDEX idx_outbox_published_at ON outbox (published_at);
"""

# By time too: a person's slots of years are not compared each with each.
STAFF = """
DROP INDEX idx_slots_staff;
CREATE INDEX idx_slots_staff ON slots (staff_id, starts_at) WHERE staff_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(CHANGES)
    op.execute(STAFF)
