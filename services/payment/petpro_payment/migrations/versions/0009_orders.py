"""Who ordered what about money, and why, kept for ever; and a refund keeps what it was ordered as."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ORDERS = """
CREATE TABLE money_orders (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ordered_by text NOT NULL CHECK (ordered_by <> ''),
    verb varchar(30) NOT NULL,
    subject_id uuid NOT NULL,
    reason text NOT NULL CHECK (reason <> '')
);
CREATE INDEX idx_money_orders_subject ON money_orders (subject_id);
CREATE TRIGGER keep_order BEFORE UPDATE OR DELETE OR TRUNCATE ON money_orders
    FOR EACH STATEMENT EXECUTE FUNCTION keep_what_was_done();
CREATE TRIGGER keep_all_provider_events BEFORE TRUNCATE ON provider_events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_provider_event();
"""

TERMS = """
CREATE FUNCTION keep_refund_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a refund stays as it was ordered' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER keep_refund_terms BEFORE UPDATE ON refunds FOR EACH ROW
    WHEN ((OLD.id, OLD.payment_id, OLD.booking_id, OLD.origin, OLD.amount, OLD.currency, OLD.reason, OLD.created_at)
          IS DISTINCT FROM
          (NEW.id, NEW.payment_id, NEW.booking_id, NEW.origin, NEW.amount, NEW.currency, NEW.reason, NEW.created_at))
    EXECUTE FUNCTION keep_refund_terms();
"""


def upgrade() -> None:
    for statements in (ORDERS, TERMS):
        op.execute(statements)
