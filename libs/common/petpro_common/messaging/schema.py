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

# By which store a message was acknowledged: a stream made anew, or a server that started again, may have forgotten it.
MESSAGING_V2 = """
ALTER TABLE outbox ADD COLUMN stream_created timestamptz, ADD COLUMN server_id text;
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
