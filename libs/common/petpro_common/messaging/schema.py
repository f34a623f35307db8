"""The tables of the message layer, made by the migrations of each service: V1 first, then V2."""

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

# What the relay saw of each stream when it looked the last time; see `memory`.
MESSAGING_V2 = """
CREATE TABLE broker_memory (
    stream text PRIMARY KEY,
    created timestamptz NOT NULL,
    first_seq bigint NOT NULL,
    holes bigint NOT NULL
);
"""
