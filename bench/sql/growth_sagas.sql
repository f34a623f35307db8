-- Sagas in flight that wait for something which does not come while the bench runs.
INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
                   version, step_began_at, due_at, trace)
SELECT uuidv7(), 'cancellation', 1, 'bench:' || n || ':' || gen_random_uuid(), 'running', 'settle_refund', 'forward', 1,
       '[]', '{}', 1, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP + interval '1 day', '{}'
  FROM generate_series(1, %(count)s) AS n
