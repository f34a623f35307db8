"""The tables of the saga engine, made by the migrations of a service that runs sagas, in the order of this file."""

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

# No foreign key: who did what, and why, is kept longer than the saga.
SAGA_V2 = """
CREATE TABLE saga_operations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verb text NOT NULL
        CHECK (verb IN ('retry', 'skip', 'compensate', 'resolve_completed', 'resolve_compensated')),
    operator text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    saga_version integer NOT NULL,
    status_before text NOT NULL,
    step_before text NOT NULL,
    status_after text NOT NULL,
    step_after text NOT NULL
);
CREATE INDEX idx_saga_operations_saga ON saga_operations (saga_id, id);
"""

# A saga changes a dozen times and then never again: vacuum follows closely, and the purge finds the oldest that ended.
SAGA_STORAGE_V1 = """
ALTER TABLE sagas SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE saga_timeline SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX idx_sagas_ended ON sagas (updated_at) WHERE status IN ('completed', 'compensated');
CREATE INDEX idx_saga_operations_at ON saga_operations (at);
"""

# A saga takes its timeline along by a trigger instead of a foreign key: a look at the saga for each line took nearly
# as much as writing it; who writes a line has the saga locked. Both tables are locked first, so that no batch that has
# one of them waits for the other.
SAGA_TIMELINE_V2 = """
LOCK TABLE sagas, saga_timeline IN ACCESS EXCLUSIVE MODE;
CREATE FUNCTION delete_timelines_of_gone_sagas() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM saga_timeline WHERE saga_id = ANY(ARRAY(SELECT id FROM gone)); RETURN NULL; END';
CREATE TRIGGER timelines_go_with_sagas AFTER DELETE ON sagas REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION delete_timelines_of_gone_sagas();
ALTER TABLE saga_timeline DROP CONSTRAINT saga_timeline_saga_id_fkey;
"""
