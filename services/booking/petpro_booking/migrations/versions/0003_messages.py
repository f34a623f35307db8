"""What the broker is known to have, who had parked messages handled again, and tables that do not swell."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_STORAGE_V1
from petpro_common.messaging.schema import MESSAGING_V2, PARKED_V2, STORAGE_V1
from petpro_common.saga.schema import SAGA_STORAGE_V1

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Two who write into one diary at once would wait for each other in the exclusion constraint, and PostgreSQL would end
# one of them as a deadlock. With the diary locked first the second waits, and is refused for what it is. The lock is
# the one that `store_slots.lock_diary` takes.
DIARY = """
CREATE OR REPLACE FUNCTION occupy_staff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM staff_occupancy WHERE slot_id = OLD.id;
    END IF;
    IF NEW.staff_id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(CAST(NEW.staff_id AS text), 0));
        INSERT INTO staff_occupancy (slot_id, slot_date, staff_id, during)
        VALUES (NEW.id, NEW.slot_date, NEW.staff_id, tstzrange(NEW.starts_at, NEW.ends_at));
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    for part in (MESSAGING_V2, PARKED_V2, STORAGE_V1, IDEMPOTENCY_STORAGE_V1, SAGA_STORAGE_V1, DIARY):
        op.execute(part)
