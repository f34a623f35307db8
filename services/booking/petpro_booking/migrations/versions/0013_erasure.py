"""Who was erased, so that what is written of them afterwards is made anonymous too; pets and clinics by person.

Where others have the tables for long it gives up, to be tried again: events must not queue behind it.
"""

from alembic import op

from petpro_common.personal.erasure import ERASURE_V1

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = """
CREATE INDEX idx_account_pets_user ON account_pets (user_id);
CREATE INDEX idx_catalog_clinics_owner ON catalog_clinics (owner_id);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '3s'")
    for statements in (ERASURE_V1, INDEXES):
        op.execute(statements)
