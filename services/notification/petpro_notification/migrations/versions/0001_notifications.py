"""Notifications, their deliveries, and what is known of the catalog's names."""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.messaging.schema import MESSAGING_V1

revision = "0001"
down_revision = None

NOTIFICATIONS_V1 = """
CREATE TABLE notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    booking_id uuid,
    type varchar(50) NOT NULL,
    title varchar(255) NOT NULL,
    content text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    is_read boolean NOT NULL DEFAULT FALSE,
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT read_at_says_when CHECK (is_read = (read_at IS NOT NULL))
);
CREATE INDEX idx_notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX idx_notifications_booking ON notifications (booking_id);
CREATE INDEX idx_notifications_read ON notifications (user_id, created_at DESC, id DESC) WHERE NOT is_read;
CREATE INDEX idx_notifications_created ON notifications (created_at);

CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    notification_id uuid NOT NULL,
    channel text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    sent_at timestamptz,
    reason text,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT fk_notification FOREIGN KEY (notification_id) REFERENCES notifications (id) ON DELETE CASCADE,
    CONSTRAINT one_delivery_per_channel UNIQUE (notification_id, channel),
    CONSTRAINT known_channel CHECK (channel IN ('email', 'push', 'sms')),
    CONSTRAINT known_status CHECK (status IN ('pending', 'sent', 'suppressed', 'failed')),
    CONSTRAINT tries_are_counted CHECK (tries >= 0),
    CONSTRAINT sent_at_says_when CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX idx_deliveries_due ON deliveries (due_at) WHERE status = 'pending';
CREATE INDEX idx_deliveries_failed ON deliveries (created_at) WHERE status = 'failed';

CREATE TABLE catalog_clinics (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL,
    timezone text NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE catalog_services (
    id uuid PRIMARY KEY,
    clinic_id uuid NOT NULL,
    name varchar(255) NOT NULL,
    duration_minutes integer NOT NULL,
    version bigint NOT NULL
);
"""


def upgrade() -> None:
    for statements in (NOTIFICATIONS_V1, MESSAGING_V1, IDEMPOTENCY_V1):
        op.execute(statements)
