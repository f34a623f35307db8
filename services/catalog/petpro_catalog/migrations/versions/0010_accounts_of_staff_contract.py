"""Whose account stood in which staff entry, and when: what somebody booked as staff they do not review later either.

A trigger keeps it, so what replicas of the release before write is in it too. Entries cannot be written while what they
say is carried over. `staff.user_since`, of 0009, knew the last account alone. No released code reads or writes it.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE staff_accounts (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    staff_id UUID NOT NULL,
    clinic_id UUID NOT NULL,
    user_id UUID NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,

    CONSTRAINT ends_after_it_began CHECK (until >= since)
);
CREATE INDEX idx_staff_accounts_user ON staff_accounts (user_id, clinic_id);
CREATE UNIQUE INDEX idx_staff_accounts_standing ON staff_accounts (staff_id) WHERE until IS NULL;
"""

# Who writes has locked the entry, so of one entry the times follow each other, unless the clock goes back. It is not
# the transaction's time, which may have begun before that of another who had the entry first.
TRIGGER = """
CREATE FUNCTION keep_staff_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.user_id, NEW.clinic_id) IS NOT DISTINCT FROM (OLD.user_id, OLD.clinic_id) THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE staff_accounts SET until = greatest(since, clock_timestamp())
        WHERE staff_id = OLD.id AND until IS NULL;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.user_id IS NOT NULL THEN
        INSERT INTO staff_accounts (staff_id, clinic_id, user_id, since)
        VALUES (NEW.id, NEW.clinic_id, NEW.user_id, clock_timestamp());
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_staff_accounts AFTER INSERT OR DELETE OR UPDATE OF user_id, clinic_id ON staff
    FOR EACH ROW EXECUTE FUNCTION keep_staff_accounts();
"""

CARRY_OVER = """
INSERT INTO staff_accounts (staff_id, clinic_id, user_id, since)
SELECT id, clinic_id, user_id, user_since FROM staff WHERE user_id IS NOT NULL
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(TRIGGER)
    op.execute(CARRY_OVER)
    op.execute("ALTER TABLE staff DROP COLUMN user_since")
