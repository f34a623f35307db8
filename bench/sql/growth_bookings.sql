-- Bookings of the past, spread evenly over so many quarters, each with its reference code; their slots are those of now.
-- Foreign keys hold by construction and are not checked row by row.
SET LOCAL session_replication_role = replica;
SELECT ensure_quarter_partition('bookings', CURRENT_TIMESTAMP - make_interval(months => 3 * n))
  FROM generate_series(1, %(quarters)s) AS n;
CREATE TABLE IF NOT EXISTS bench_slots AS SELECT row_number() OVER () - 1 AS n, slots.* FROM slots;
CREATE TEMPORARY TABLE more ON COMMIT DROP AS
SELECT uuidv7(date_trunc('quarter', CURRENT_TIMESTAMP) - CURRENT_TIMESTAMP - interval '1 second'
              - (n / %(more)s::float) * %(quarters)s * interval '90 days') AS id, n
  FROM generate_series(1, %(more)s) AS n;
INSERT INTO reference_codes (reference_code, booking_id)
SELECT upper(left(replace(id::text, '-', ''), 20)), id FROM more
ON CONFLICT DO NOTHING;
INSERT INTO bookings (id, created_at, user_id, pet_id, clinic_id, service_id, slot_id, slot_date, starts_at, ends_at,
                      timezone, payment_id, reference_code, amount, status, currency, commission_rate,
                      cancellation_policy)
SELECT more.id, uuid_extract_timestamp(more.id),
       CASE WHEN more.n %% greatest(%(more)s / 1000, 1) = 0 THEN %(customer)s::uuid ELSE more.id END, more.id,
       CASE WHEN more.n %% 1000 = 0 THEN %(clinic)s::uuid ELSE md5((more.n %% 5000)::text)::uuid END,
       slot.service_id, slot.id, slot.slot_date, slot.starts_at, slot.ends_at, 'Asia/Jakarta', more.id,
       upper(left(replace(more.id::text, '-', ''), 20)), 150000, 'completed', 'IDR', 10, '{}'
  FROM more JOIN bench_slots AS slot ON slot.n = more.n %% 1000
