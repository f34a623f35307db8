"""The tables of the saga engine, made by the first migration of a service that runs sagas."""

SAGA_V1 = """
CREATE TABLE sagas (
    id uuid PRIMARY KEY,
    saga_type text NOT NULL,
    definition_version integer NOT NULL,
    business_key text NOT NULL UNIQUE,
    status text NOT NULL CHECK (status IN ('running', 'compensating', 'parked', 'completed', 'compensated')),
    step text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('forward', 'backward')),
    attempt integer NOT NULL CHECK (attempt >= 0),
    to_undo jsonb NOT NULL,
    data jsonb NOT NULL,
    version integer NOT NULL,
    step_began_at timestamptz,
    due_at timestamptz,
    trace jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_sagas_due ON sagas (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX idx_sagas_unfinished ON sagas (saga_type, status) WHERE status IN ('running', 'compensating', 'parked');

CREATE TABLE saga_timeline (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id uuid NOT NULL REFERENCES sagas (id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    step text NOT NULL,
    direction text NOT NULL,
    attempt integer NOT NULL,
    detail text NOT NULL
);
CREATE INDEX idx_saga_timeline_saga ON saga_timeline (saga_id, id);
"""
