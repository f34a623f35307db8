"""Who was erased; and the words in which they asked for a refund may go, and nothing else of it.

Where others have a table for long it gives up, to be tried again: payments must not queue behind it. Refunds, which
some write before payments and some after, are not locked; orders are, which are written after payments. Readers go on.
"""

from alembic import op

from petpro_common.personal.erasure import ERASURE_V1

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOCKS = """
SET LOCAL lock_timeout = '3s';
LOCK TABLE clinic_members, payments, money_orders IN SHARE ROW EXCLUSIVE MODE;
"""
INDEXES = """
CREATE INDEX idx_payments_user ON payments (user_id);
CREATE INDEX idx_clinic_members_user ON clinic_members (user_id) WHERE user_id IS NOT NULL;
"""
REFUNDS = """
CREATE OR REPLACE FUNCTION keep_refund_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reason = 'erased' AND
       (OLD.id, OLD.payment_id, OLD.booking_id, OLD.origin, OLD.amount, OLD.currency, OLD.created_at)
       IS NOT DISTINCT FROM
       (NEW.id, NEW.payment_id, NEW.booking_id, NEW.origin, NEW.amount, NEW.currency, NEW.created_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a refund stays as it was ordered' USING ERRCODE = 'restrict_violation';
END
$$;
"""
ORDERS = """
CREATE OR REPLACE TRIGGER keep_order BEFORE DELETE OR TRUNCATE ON money_orders
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
CREATE TRIGGER keep_order_terms BEFORE UPDATE ON money_orders FOR EACH ROW
    WHEN ((OLD.id, OLD.at, OLD.ordered_by, OLD.verb, OLD.subject_id)
          IS DISTINCT FROM (NEW.id, NEW.at, NEW.ordered_by, NEW.verb, NEW.subject_id) OR NEW.reason <> 'erased')
    EXECUTE FUNCTION keep_what_was_done();
"""


def upgrade() -> None:
    for statements in (LOCKS, ERASURE_V1, INDEXES, REFUNDS, ORDERS):
        op.execute(statements)
