-- A clinic with its slots, reservations and bookings for pgbench, in a database that no service uses.
INSERT INTO catalog_clinics (id, owner_id, name, status, timezone, commission_rate, cancellation_policy,
                             operating_hours, version)
VALUES (uuidv7(), uuidv7(), 'Klinik Hewan Uji', 'approved', 'Asia/Jakarta', 10, '{}', '{}', 1);
INSERT INTO catalog_services (id, clinic_id, name, price, currency, duration_minutes, requires_approval, is_available,
                              version)
SELECT uuidv7(), id, 'Check-up', 150000, 'IDR', 60, false, true, 1 FROM catalog_clinics;

-- The date of a slot is in its id, so the ids are made for the coming days.
INSERT INTO slots (id, slot_date, service_id, clinic_id, slot_start_time, slot_end_time, starts_at, ends_at, capacity,
                   booked_count)
SELECT new.id, (uuid_extract_timestamp(new.id) AT TIME ZONE 'UTC')::date, service.id, service.clinic_id, '08:00', '09:00',
       now() + interval '7 days' + n * interval '1 minute', now() + interval '7 days' + (n + 60) * interval '1 minute',
       1000000000, 500000000
FROM generate_series(1, 1000) AS n, catalog_services AS service, LATERAL (
    SELECT uuidv7(n % 14 * interval '1 day') AS id) AS new;
CREATE TABLE bench_slots AS SELECT row_number() OVER () AS n, id, slot_date FROM slots;

INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
                          lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at)
SELECT new_id, uuid_extract_timestamp(new_id), new_id, new_id, service_id, id, slot_date, clinic_id, starts_at,
       md5(n::text), 150000, 'IDR', 10, '{}', false, now() + interval '1 day'
FROM (SELECT uuidv7(n * interval '-1 second') AS new_id, n, slots.* FROM generate_series(1, 20) AS n, slots);
CREATE TABLE bench_reservations AS SELECT row_number() OVER () AS n, id FROM reservations;

INSERT INTO reference_codes (reference_code, booking_id) SELECT upper(left(md5(id::text), 16)), id FROM reservations;
INSERT INTO bookings (id, created_at, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id, slot_date,
                      starts_at, ends_at, timezone, payment_id, reference_code, amount, currency, commission_rate,
                      cancellation_policy)
SELECT r.id, r.created_at, r.id, user_id, pet_id, r.clinic_id, r.service_id, slot_id, r.slot_date, r.starts_at,
       slot.ends_at, 'Asia/Jakarta', r.id, upper(left(md5(r.id::text), 16)), price, 'IDR', 10, '{}'
FROM reservations AS r JOIN slots AS slot ON slot.id = r.slot_id AND slot.slot_date = r.slot_date;
CREATE TABLE bench_bookings AS SELECT row_number() OVER () AS n, id FROM bookings;

CREATE UNIQUE INDEX ON bench_slots (n);
CREATE UNIQUE INDEX ON bench_reservations (n);
CREATE UNIQUE INDEX ON bench_bookings (n);
ANALYZE;
