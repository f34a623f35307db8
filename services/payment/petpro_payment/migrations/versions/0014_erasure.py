"""Who was erased; and the words in which they asked for a refund may go, and nothing else of it."""

from alembic import op

from petpro_common.personal.erasure import ERASURE_V1

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = """
CREATE INDEX idx_payments_user ON payments (user_id);
CREATE INDEX idx_clinic_members_user ON clinic_members (user_id) WHERE user_id IS NOT NULL;
"""

# Replaced in one transaction: nobody else sees tables that can be changed.
REFUNDS = """
DROP TRIGGER keep_refund_terms ON refunds;
CREATE TRIGGER keep_refund_terms BEFORE UPDATE ON refunds FOR EACH ROW
    WHEN ((OLD.id, OLD.payment_id, OLD.booking_id, OLD.origin, OLD.amount, OLD.currency, OLD.created_at)
          IS DISTINCT FROM
          (NEW.id, NEW.payment_id, NEW.booking_id, NEW.origin, NEW.amount, NEW.currency, NEW.created_at)
          OR (NEW.reason <> OLD.reason AND NEW.reason <> 'erased'))
    EXECUTE FUNCTION keep_refund_terms();
"""
ORDERS = """
DROP TRIGGER keep_order ON money_orders;
CREATE TRIGGER keep_order BEFORE DELETE OR TRUNCATE ON money_orders
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
CREATE TRIGGER keep_order_terms BEFORE UPDATE ON money_orders FOR EACH ROW
    WHEN ((OLD.id, OLD.at, OLD.ordered_by, OLD.verb, OLD.subject_id)
          IS DISTINCT FROM (NEW.id, NEW.at, NEW.ordered_by, NEW.verb, NEW.subject_id) OR NEW.reason <> 'erased')
    EXECUTE FUNCTION keep_what_was_done();
"""


def upgrade() -> None:
    for statements in (ERASURE_V1, INDEXES, REFUNDS, ORDERS):
        op.execute(statements)
