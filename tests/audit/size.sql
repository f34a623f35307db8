-- A clean platform of any size: every booking paid, every tenth cancelled by its customer and given back in full.
-- A heading names the database that its statements are for. Bookings are numbered from 0 to :bookings - 1.

-- everywhere
CREATE FUNCTION at(n bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql RETURN
    timestamptz :begins + (n / 500) * interval :apart;
CREATE FUNCTION id_at(moment timestamptz, kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql RETURN
    CAST(lpad(to_hex(CAST(floor(extract(epoch FROM moment) * 1000) AS bigint)), 12, '0') || '7'
        || substr(md5(kind || n), 1, 3) || '8' || substr(md5(kind || n), 4, 15) AS uuid);
CREATE FUNCTION made(kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql RETURN id_at(at(n), kind, n);

-- booking
SELECT ensure_slot_partition((at(n) + interval '3 days')::date), ensure_quarter_partition('bookings', at(n)),
    ensure_quarter_partition('reservations', at(n)) FROM generate_series(0, :bookings, 500) AS n;

INSERT INTO slots (id, service_id, staff_id, clinic_id, slot_date, slot_start_time, slot_end_time, starts_at, ends_at,
        capacity, booked_count, status, created_at, updated_at)
    SELECT id_at((at(n) + interval '3 days')::date, 'slot', n), made('service', n % 500), made('staff', n % 500),
        made('clinic', n % 100), (at(n) + interval '3 days')::date, at(n)::time, (at(n) + interval '30 min')::time,
        at(n) + interval '3 days', at(n) + interval '3 days 30 min', 1, (n % 10 <> 0)::integer,
        CASE WHEN n % 10 = 0 THEN 'available' ELSE 'booked' END, at(n), at(n)
    FROM generate_series(0, :bookings - 1) AS n;
INSERT INTO staff_occupancy SELECT id, slot_date, staff_id, tstzrange(starts_at, ends_at) FROM slots
    WHERE staff_id IS NOT NULL;

INSERT INTO reservations (id, user_id, pet_id, service_id, slot_id, slot_date, lock_id, status, expires_at, created_at,
        updated_at, clinic_id, starts_at, price, currency, commission_rate, cancellation_policy, requires_approval,
        checkout_status, checkout_saga_id, checkout_count, booking_id, payment_id)
    SELECT made('reservation', n), made('user', n), made('pet', n), made('service', n % 500),
        id_at((at(n) + interval '3 days')::date, 'slot', n), (at(n) + interval '3 days')::date, 'lock', 'confirmed',
        at(n) + interval '10 min', at(n), at(n), made('clinic', n % 100), at(n) + interval '3 days', 150000, 'IDR', 10,
        '{"tiers": [{"min_hours_before": 0, "refund_percent": 100}]}', false, 'confirmed', made('checkout', n), 1,
        made('booking', n), made('payment', n)
    FROM generate_series(0, :bookings - 1) AS n;

INSERT INTO reference_codes SELECT 'PP' || n, made('booking', n), made('reservation', n)
    FROM generate_series(0, :bookings - 1) AS n;
INSERT INTO bookings (id, reservation_id, user_id, pet_id, clinic_id, service_id, slot_id, slot_date, payment_id,
        reference_code, amount, status, created_at, updated_at, starts_at, ends_at, timezone, currency, commission_rate,
        cancellation_policy, cancellation_status, cancellation_saga_id, cancelled_by, refund_amount, refund_status)
    SELECT booking_id, id, user_id, pet_id, clinic_id, service_id, slot_id, slot_date, payment_id, 'PP' || n, price,
        CASE WHEN gone THEN 'cancelled' ELSE 'confirmed' END, created_at, updated_at, starts_at,
        starts_at + interval '30 min', 'UTC', currency, commission_rate, cancellation_policy,
        CASE WHEN gone THEN 'cancelled' ELSE 'none' END, CASE WHEN gone THEN made('cancellation', n) END,
        CASE WHEN gone THEN 'customer' END, CASE WHEN gone THEN price END, CASE WHEN gone THEN 'succeeded' END
    FROM (SELECT n, n % 10 = 0 AS gone FROM generate_series(0, :bookings - 1) AS n) AS numbers
    JOIN reservations r ON r.id = made('reservation', n);

INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
        version, trace, created_at, updated_at)
    SELECT made(kind, n), kind, 1, kind || ':' || n, 'completed', 'end', 'forward', 0, '[]',
        jsonb_build_object('booking_id', made('booking', n), 'reservation_id', made('reservation', n)), 1, '{}',
        at(n), at(n)
    FROM generate_series(0, :bookings - 1) AS n, unnest(ARRAY['checkout', 'cancellation']) AS kind
    WHERE kind = 'checkout' OR n % 10 = 0;

INSERT INTO outbox (message_id, subject, aggregate, headers, payload, created_at, published_at)
    SELECT kind || n, 'petpro.events.' || kind, 'booking', '{}',
        convert_to(jsonb_build_object('event_type', kind, 'booking_id', made('booking', n))::text, 'UTF8'), at(n), at(n)
    FROM generate_series(0, :bookings - 1) AS n, unnest(ARRAY['booking.confirmed', 'booking.cancelled']) AS kind
    WHERE kind = 'booking.confirmed' OR n % 10 = 0;

-- payment
INSERT INTO payments (id, booking_id, user_id, clinic_id, provider, external_reference, amount, payment_method, status,
        paid_at, captured, refund_done, created_at, updated_at)
    SELECT made('payment', n), made('booking', n), made('user', n), made('clinic', n % 100), 'sandbox', 'pi_' || n,
        150000, 'card', CASE WHEN n % 10 = 0 THEN 'refunded' ELSE 'success' END, at(n), 150000,
        CASE WHEN n % 10 = 0 THEN 150000 ELSE 0 END, at(n), at(n)
    FROM generate_series(0, :bookings - 1) AS n;
INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason, created_at, updated_at)
    SELECT made('refund', n), made('payment', n), made('booking', n), 'cancellation', 150000, 'IDR', 'succeeded', '',
        at(n), at(n)
    FROM generate_series(0, :bookings - 1, 10) AS n;
INSERT INTO financial_entries (id, booking_id, clinic_id, payment_id, refund_id, type, total_amount, platform_fee,
        clinic_amount, status, settlement_date, created_at, updated_at)
    SELECT made(type, n), made('booking', n), made('clinic', n % 100), made('payment', n),
        CASE WHEN type = 'refund' THEN made('refund', n) END, type, sign * 150000, sign * 15000, sign * 135000,
        'settled', at(n), at(n), at(n)
    FROM generate_series(0, :bookings - 1) AS n, (VALUES ('booking_fee', 1), ('refund', -1)) AS kinds (type, sign)
    WHERE type = 'booking_fee' OR n % 10 = 0;
INSERT INTO journal_transactions (id, kind, source_id, clinic_id, currency, posted_at)
    SELECT made(kind || source, n), kind, made(source, n), made('clinic', n % 100), 'IDR', at(n)
    FROM generate_series(0, :bookings - 1) AS n,
        (VALUES ('capture', 'payment'), ('entry', 'booking_fee'), ('entry', 'refund'), ('refund', 'refund'))
            AS kinds (kind, source)
    WHERE source <> 'refund' OR n % 10 = 0;
INSERT INTO journal_lines
    SELECT made(kind || source, n), account, amount FROM generate_series(0, :bookings - 1) AS n,
        (VALUES ('capture', 'payment', 'provider_clearing', 150000), ('capture', 'payment', 'customer_liability', -150000),
            ('entry', 'booking_fee', 'customer_liability', 150000), ('entry', 'booking_fee', 'platform_revenue', -15000),
            ('entry', 'booking_fee', 'clinic_payable', -135000), ('entry', 'refund', 'customer_liability', -150000),
            ('entry', 'refund', 'platform_revenue', 15000), ('entry', 'refund', 'clinic_payable', 135000),
            ('refund', 'refund', 'customer_liability', 150000), ('refund', 'refund', 'provider_clearing', -150000))
            AS lines (kind, source, account, amount)
    WHERE source <> 'refund' OR n % 10 = 0;
INSERT INTO outbox (message_id, subject, aggregate, headers, payload, created_at, published_at)
    SELECT 'refund' || n, 'petpro.events.refund.succeeded', 'refund', '{}', convert_to(
        jsonb_build_object('event_type', 'refund.succeeded', 'booking_id', made('booking', n))::text, 'UTF8'),
        at(n), at(n)
    FROM generate_series(0, :bookings - 1, 10) AS n;

-- notification
INSERT INTO notifications (id, user_id, booking_id, type, title, content, created_at)
    SELECT made(type, n), made('user', n), made('booking', n), type, type, type, at(n)
    FROM generate_series(0, :bookings - 1) AS n,
        unnest(ARRAY['booking_confirmed', 'booking_cancelled', 'refund_settled']) AS type
    WHERE type = 'booking_confirmed' OR n % 10 = 0;
INSERT INTO deliveries (id, notification_id, channel, status, sent_at, created_at)
    SELECT id, id, 'email', 'sent', created_at, created_at FROM notifications WHERE title = type;
