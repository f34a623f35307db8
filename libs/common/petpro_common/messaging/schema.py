"""The tables of the message layer, made by the migrations of each service, in the order in which they stand here."""

MESSAGING_V1 = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    subject text NOT NULL,
    aggregate text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    published_at timestamptz,
    stream text,
    stream_seq bigint
);
CREATE INDEX idx_outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX idx_outbox_published ON outbox USING brin (published_at);
CREATE INDEX idx_outbox_stream_seq ON outbox (stream, stream_seq) WHERE published_at IS NOT NULL;

CREATE TABLE inbox (
    message_id text PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    command bytea,
    reply bytea
);
CREATE INDEX idx_inbox_received ON inbox USING brin (received_at);

CREATE TABLE parked_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    consumer text NOT NULL,
    subject text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""

# What the relay saw of each stream when it looked the last time; see `data_loss`.
MESSAGING_V2 = """
CREATE TABLE broker_memory (
    stream text PRIMARY KEY,
    created timestamptz NOT NULL,
    first_seq bigint NOT NULL,
    holes bigint NOT NULL
);
"""

# How often a message was tried, and who had it handled again, when and why. What was set aside before may quote what
# somebody had entered, so only the kind of the fault stays. No foreign key: a message that was handled is gone, and
# what was done about it is kept.
PARKED_V2 = """
ALTER TABLE parked_messages ADD COLUMN tries integer NOT NULL DEFAULT 1;
UPDATE parked_messages SET error = split_part(error, ':', 1);
CREATE TABLE message_redrives (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    subject text NOT NULL,
    error_before text NOT NULL,
    operator text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL DEFAULT 'begun' CHECK (outcome IN ('begun', 'handled', 'failed')),
    error text NOT NULL DEFAULT '',
    ended_at timestamptz
);
CREATE INDEX idx_message_redrives_message ON message_redrives (message_id, id);
"""

# A message may be given up, too. A release before this knows no such outcome, and cannot show a message that has one.
PARKED_V3 = """
ALTER TABLE message_redrives DROP CONSTRAINT message_redrives_outcome_check,
    ADD CONSTRAINT message_redrives_outcome_check CHECK (outcome IN ('begun', 'handled', 'failed', 'discarded'));
"""

# Rows come, change once and go, so space has to be given back early: vacuum begins at a fiftieth of a table, and not at
# a fifth. And the purge walks from the oldest on: a BRIN index never forgets what was deleted, and once space has been
# used again each range of it would match, so the purge would read the whole table.
STORAGE_V1 = """
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE inbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
DROP INDEX idx_outbox_published;
CREATE INDEX idx_outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
DROP INDEX idx_inbox_received;
CREATE INDEX idx_inbox_received ON inbox (received_at);
"""

# What waits of an aggregate is looked up with each message that is written: it must not be overtaken.
HAND_OFF_V1 = """
CREATE INDEX idx_outbox_waiting ON outbox (aggregate) WHERE published_at IS NULL;
"""

# By an index that serves nothing else: of two with one condition PostgreSQL took the smaller, that by id, when little
# waited while it planned, and then read all that waits for each message that was written. What waits has no number in a
# stream yet.
HAND_OFF_V2 = """
CREATE INDEX idx_outbox_of_aggregate ON outbox (aggregate) WHERE stream_seq IS NULL;
DROP INDEX idx_outbox_waiting;
"""
