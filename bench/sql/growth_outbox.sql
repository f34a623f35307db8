-- Events that wait for the broker.
INSERT INTO outbox (message_id, subject, aggregate, headers, payload)
SELECT id, 'petpro.events.reservation.created', id, '{"ce-type": "reservation.created"}', repeat('x', 300)::bytea
  FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, %(count)s))
