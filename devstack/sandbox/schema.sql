-- Everything the provider knows. Amounts are minor units, instants microseconds since 1970.

CREATE TABLE IF NOT EXISTS payment_intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('requires_action', 'processing', 'succeeded', 'failed', 'cancelled')),
    token TEXT NOT NULL,
    delay REAL,
    metadata TEXT NOT NULL,
    created INTEGER NOT NULL,
    captured INTEGER NOT NULL DEFAULT 0,
    captured_at INTEGER,
    settles_at INTEGER,
    failure TEXT NOT NULL DEFAULT '',
    cancellation_reason TEXT NOT NULL DEFAULT '',
    CHECK ((status = 'succeeded') = (captured > 0)),
    CHECK ((status = 'succeeded') = (captured_at IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS payment_intents_reference ON payment_intents (reference);
CREATE INDEX IF NOT EXISTS payment_intents_due ON payment_intents (settles_at) WHERE settles_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    payment_intent TEXT NOT NULL REFERENCES payment_intents (id),
    reference TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    reason TEXT NOT NULL,
    created INTEGER NOT NULL,
    due_at INTEGER,
    due_status TEXT CHECK (due_status IN ('succeeded', 'failed')),
    failure TEXT NOT NULL DEFAULT '',
    CHECK ((due_at IS NULL) = (due_status IS NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_reference ON refunds (reference);
CREATE INDEX IF NOT EXISTS refunds_payment_intent ON refunds (payment_intent, status, amount);
CREATE INDEX IF NOT EXISTS refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- The outbox: one row for each copy of an event that has to reach the webhook URL.
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL REFERENCES events (id),
    due_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at) WHERE delivered_at IS NULL;
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event) WHERE delivered_at IS NULL;

CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Keys whose first call was answered with a 500 on purpose.
CREATE TABLE IF NOT EXISTS played_faults (
    key TEXT PRIMARY KEY
) STRICT;
