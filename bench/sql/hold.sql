-- A hold as five statements: read the offer, take the seat, write reservation, request id and event.
\set n random(1, :things)
BEGIN;
SELECT s.id AS slot_id, s.slot_date, s.service_id, s.clinic_id, s.starts_at, v.price, c.commission_rate
  FROM bench_slots b JOIN slots s ON s.id = b.id AND s.slot_date = b.slot_date
  JOIN catalog_services v ON v.id = s.service_id JOIN catalog_clinics c ON c.id = s.clinic_id WHERE b.n = :n \gset
UPDATE slots SET booked_count = booked_count + 1, updated_at = CURRENT_TIMESTAMP,
    status = CASE WHEN booked_count + 1 = capacity THEN 'booked' ELSE 'available' END
  WHERE id = :slot_id AND slot_date = :slot_date AND status = 'available' AND booked_count < capacity
    AND starts_at > CURRENT_TIMESTAMP;
INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
                          lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at)
  SELECT id, uuid_extract_timestamp(id), id, id, :service_id, :slot_id, :slot_date, :clinic_id, :starts_at,
         md5(random()::text), :price, 'IDR', :commission_rate, '{}', false, now() + interval '1 day'
  FROM (SELECT uuidv7() AS id);
INSERT INTO idempotency_keys (caller, method, key, request_hash, reply)
  VALUES ('bench', 'hold', gen_random_uuid(), '\x00', repeat('x', 300)::bytea);
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
  SELECT id, 'bench', id, '{"ce-type": "reservation.created"}', repeat('x', 300)::bytea, now()
  FROM (SELECT uuidv7()::text AS id);
COMMIT;
