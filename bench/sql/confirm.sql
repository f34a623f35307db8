-- A paid hold becomes a booking: lock it, read slot and zone, claim a code, write booking, reservation and event.
\set n random(1, :things)
BEGIN;
SELECT r.id AS reservation_id, r.created_at AS held_at, r.service_id, r.clinic_id, r.slot_id, r.slot_date, r.price
  FROM bench_reservations b JOIN reservations r ON r.id = b.id AND r.created_at = uuid_extract_timestamp(b.id)
  WHERE b.n = :n FOR UPDATE OF r \gset
SELECT starts_at, ends_at FROM slots WHERE id = :slot_id AND slot_date = :slot_date \gset
SELECT timezone FROM catalog_clinics WHERE id = :clinic_id \gset
SELECT uuidv7() AS booking_id, upper(left(md5(random()::text), 16)) AS code \gset
INSERT INTO reference_codes (reference_code, booking_id) VALUES (:code, :booking_id);
INSERT INTO bookings (id, created_at, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id, slot_date,
                      starts_at, ends_at, timezone, payment_id, reference_code, amount, currency, commission_rate,
                      cancellation_policy)
  VALUES (:booking_id, uuid_extract_timestamp(:booking_id), :reservation_id, :clinic_id, :clinic_id, :clinic_id,
          :service_id, :slot_id, :slot_date, :starts_at, :ends_at, :timezone, :booking_id, :code, :price, 'IDR', 10,
          '{}');
UPDATE reservations SET status = 'confirmed', checkout_status = 'confirmed', failure_reason = NULL,
    booking_id = :booking_id, payment_id = :booking_id, updated_at = CURRENT_TIMESTAMP
  WHERE id = :reservation_id AND created_at = :held_at;
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
  SELECT id, 'bench', id, '{"ce-type": "booking.confirmed"}', repeat('x', 400)::bytea, now()
  FROM (SELECT uuidv7()::text AS id);
COMMIT;
