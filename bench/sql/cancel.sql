-- A booking is cancelled: lock it, change it, free the seat, write the event.
\set n random(1, :things)
BEGIN;
SELECT k.id AS booking_id, k.created_at AS booked_at, k.slot_id, k.slot_date
  FROM bench_bookings b JOIN bookings k ON k.id = b.id AND k.created_at = uuid_extract_timestamp(b.id)
  WHERE b.n = :n FOR UPDATE OF k \gset
UPDATE bookings SET status = 'cancelled', cancellation_status = 'cancelled', cancellation_reason = 'bench',
    refund_status = 'pending', updated_at = clock_timestamp()
  WHERE id = :booking_id AND created_at = :booked_at;
UPDATE slots SET booked_count = booked_count - 1, updated_at = CURRENT_TIMESTAMP,
    status = CASE WHEN status = 'blocked' THEN 'blocked' ELSE 'available' END
  WHERE id = :slot_id AND slot_date = :slot_date AND booked_count > 0;
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, published_at)
  SELECT id, 'bench', id, '{"ce-type": "booking.cancelled"}', repeat('x', 400)::bytea, now()
  FROM (SELECT uuidv7()::text AS id);
COMMIT;
