"""Policies of single services, and what is kept from who does not come.

The release before reads and writes none of this: its policies keep everything, and its services have the clinic's.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NO_SHOW_FEE = """
ALTER TABLE cancellation_policies ADD COLUMN no_show_fee_percent SMALLINT NOT NULL DEFAULT 100
    CONSTRAINT valid_no_show_fee CHECK (no_show_fee_percent BETWEEN 0 AND 100)
"""

SERVICE_POLICIES = """
CREATE TABLE service_policies (
    service_id UUID NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    tiers JSONB NOT NULL CHECK (jsonb_typeof(tiers) = 'array'),
    no_show_fee_percent SMALLINT NOT NULL DEFAULT 100,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    PRIMARY KEY (service_id, version),
    CONSTRAINT valid_no_show_fee CHECK (no_show_fee_percent BETWEEN 0 AND 100),
    CONSTRAINT fk_service FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE RESTRICT
);
ALTER TABLE services ADD COLUMN policy_version INTEGER;
ALTER TABLE services ADD CONSTRAINT fk_policy FOREIGN KEY (id, policy_version)
    REFERENCES service_policies (service_id, version) DEFERRABLE INITIALLY DEFERRED;
"""


def upgrade() -> None:
    op.execute(NO_SHOW_FEE)
    op.execute(SERVICE_POLICIES)
