"""What a customer is shown to pay by (a client secret, a QR string, an account) is no more kept for ever.

The version before this one, until it is gone, still writes it: a trigger leaves it out.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Replaced and put back in one transaction: nobody else sees a table that can be changed.
OPEN = """
CREATE OR REPLACE FUNCTION keep_provider_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$
"""
FORGET = """
UPDATE provider_events
SET payload = payload - 'customer_action' #- '{data,object,next_action}' #- '{data,object,reason}'
WHERE payload ? 'customer_action' OR payload #> '{data,object}' ?| ARRAY['next_action', 'reason']
"""
FORGET_AT_ONCE = """
CREATE FUNCTION forget_customer_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.payload := NEW.payload - 'customer_action';
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_customer_action BEFORE INSERT ON provider_events FOR EACH ROW
    WHEN (NEW.payload ? 'customer_action') EXECUTE FUNCTION forget_customer_action();
"""
CLOSE = """
CREATE OR REPLACE FUNCTION keep_provider_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a provider told us is kept as it was' USING ERRCODE = 'restrict_violation';
END
$$;
"""


def upgrade() -> None:
    """Forgets twice: most of it while others write, and what they wrote meanwhile once the trigger holds them off."""
    for statements in (OPEN, FORGET, FORGET_AT_ONCE, FORGET, CLOSE):
        op.execute(statements)
