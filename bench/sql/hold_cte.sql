-- A hold as one statement, which is its own transaction.
\set n random(1, :things)
WITH offer AS (
    SELECT s.id AS slot_id, s.slot_date, s.service_id, s.clinic_id, s.starts_at, v.price, c.commission_rate
      FROM bench_slots b JOIN slots s ON s.id = b.id AND s.slot_date = b.slot_date
      JOIN catalog_services v ON v.id = s.service_id JOIN catalog_clinics c ON c.id = s.clinic_id WHERE b.n = :n
), seat AS (
    UPDATE slots SET booked_count = booked_count + 1, updated_at = CURRENT_TIMESTAMP,
        status = CASE WHEN booked_count + 1 = capacity THEN 'booked' ELSE 'available' END
    FROM offer WHERE slots.id = offer.slot_id AND slots.slot_date = offer.slot_date AND slots.status = 'available'
      AND slots.booked_count < slots.capacity AND slots.starts_at > CURRENT_TIMESTAMP
    RETURNING offer.*
), held AS (
    INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
                              lock_id, price, currency, commission_rate, cancellation_policy, requires_approval,
                              expires_at)
    SELECT new.id, uuid_extract_timestamp(new.id), new.id, new.id, service_id, slot_id, slot_date, clinic_id, starts_at,
           md5(random()::text), price, 'IDR', commission_rate, '{}', false, now() + interval '1 day'
    FROM seat, (SELECT uuidv7() AS id) AS new
    RETURNING *
), claimed AS (
    INSERT INTO idempotency_keys (caller, method, key, request_hash, reply)
    SELECT 'bench', 'hold', gen_random_uuid(), '\x00', repeat('x', 300)::bytea FROM held
)
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
SELECT uuidv7()::text, 'bench', id::text, '{"ce-type": "reservation.created"}', repeat('x', 300)::bytea, now() FROM held;
