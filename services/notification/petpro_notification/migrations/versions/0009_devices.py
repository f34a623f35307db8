"""The devices that pushes go to, and which of a person's have taken a push that others have still to get.

A token is unique whatever its kind: what it names is one device, of one person. It is at most 2,000 characters of
ASCII, which an index holds.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DEVICES_V1 = """
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    token text NOT NULL,
    p256dh text NOT NULL DEFAULT '',
    auth text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    registered_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT one_device_per_token UNIQUE (token),
    CONSTRAINT known_kind CHECK (kind IN ('fcm', 'web_push')),
    CONSTRAINT token_fits CHECK (length(token) BETWEEN 1 AND 2000),
    CONSTRAINT a_browser_has_keys CHECK (kind <> 'web_push' OR (p256dh <> '' AND auth <> ''))
);
CREATE INDEX idx_devices_user ON devices (user_id, registered_at DESC, id DESC);

ALTER TABLE deliveries ADD COLUMN taken_by uuid[] NOT NULL DEFAULT '{}';
"""


def upgrade() -> None:
    op.execute(DEVICES_V1)
