-- What `tests/audit/size.sql` does not make. A quarter of everything is about one clinic and its service, some of it about one person: who
-- reads more than it needs has much to read. What waits, for a person or for a time that is far, has headings of its own.

-- everywhere
CREATE OR REPLACE FUNCTION made(kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql RETURN
    CASE WHEN n % 4 = 0 AND kind = 'clinic' THEN uuid :clinic WHEN n % 4 = 0 AND kind = 'service' THEN uuid :service
         WHEN n % 64 = 0 AND kind = 'user' THEN uuid :user ELSE id_at(at(n), kind, n) END;
INSERT INTO inbox (message_id, received_at) SELECT 'message' || n, at(n) FROM generate_series(1, :bookings) AS n;
INSERT INTO idempotency_keys (caller, method, key, request_hash, reply, created_at)
    SELECT :user, '/petpro.booking.v1.ReservationService/CreateReservation', n, '', '', at(n)
    FROM generate_series(1, :bookings) AS n;
INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error, parked_at)
    SELECT 'parked' || n, 'events', 'petpro.events.refund.manual', '{}', '', 'ValueError', at(n)
    FROM generate_series(1, 50) AS n;
INSERT INTO message_redrives (message_id, subject, error_before, operator, reason)
    SELECT 'redriven' || n, 'petpro.events.refund.manual', 'ValueError', 'somebody', 'it was mended'
    FROM generate_series(1, :bookings) AS n;

-- account
INSERT INTO users (id, email, full_name, phone_number, password_hash)
    SELECT made('person', n), n || '@example.com', 'Dewi', '+628123456789', '' FROM generate_series(1, :bookings) AS n;
INSERT INTO pets (id, user_id, name, species, breed)
    SELECT made('pet', n), made('person', n), 'Moko', 'cat', 'Siamese' FROM generate_series(1, :bookings) AS n;
INSERT INTO sessions (id, user_id, created_at, expires_at)
    SELECT made('session', n), made('person', n), at(n), now() + interval '30 days' FROM generate_series(1, :bookings) AS n;
INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at, used_at)
    SELECT sha256(n::text::bytea), made('session', n), at(n), now() + interval '30 days', at(n)
    FROM generate_series(1, :bookings) AS n;
INSERT INTO sign_in_failures SELECT sha256(n::text::bytea), 1, now() FROM generate_series(1, :bookings) AS n;
INSERT INTO user_operations (operator, verb, user_id, reason)
    SELECT made('person', 1), 'end_sessions', made('person', n), 'asked' FROM generate_series(1, :bookings) AS n;

-- catalog
INSERT INTO clinics (id, owner_id, name, address, city, province, postal_code, latitude, longitude, phone_number, email,
        operating_hours, status)
    SELECT made('other', n), made('owner', n), 'Praktik Hewan ' || n, 'Jl. Braga', 'Kota ' || n % 10, 'Jawa Barat',
        '40111', -5 - (n % 71) / 20.0, 105 + (n % 67) / 10.0, '+6222123456', 'clinic@example.com', '{}',
        CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'approved' END
    FROM generate_series(1, :bookings) AS n;
INSERT INTO cancellation_policies (clinic_id, version, tiers) SELECT id, 1, '[]' FROM clinics ON CONFLICT DO NOTHING;
INSERT INTO services (id, clinic_id, name, price)
    SELECT made('offer', n), made('other', n), 'Vaccination ' || n, 1 FROM generate_series(1, :bookings) AS n;
INSERT INTO staff (id, clinic_id, name, email, role, user_id)
    SELECT made('staff', n), made('other', n), 'drh. Maya', 'maya@example.com', 'vet', made('vet', n)
    FROM generate_series(1, :bookings) AS n;
INSERT INTO completed_bookings
    SELECT made('booking', n), made('user', n), made('clinic', n), made('service', n), at(n)
    FROM generate_series(1, :bookings) AS n;
INSERT INTO reviews (id, booking_id, user_id, clinic_id, service_id, rating)
    SELECT made('review', n), made('booking', n), made('user', n), made('clinic', n), made('service', n), 1 + n % 5
    FROM generate_series(1, :bookings) AS n;
INSERT INTO review_operations (operator, verb, review_id, user_id, reason)
    SELECT 'somebody', 'publish', made('review', n), made('user', n), 'was right' FROM generate_series(1, :bookings) AS n;
UPDATE clinics SET review_count = counted.reviews, rating_sum = counted.ratings
    FROM (SELECT clinic_id, count(*) AS reviews, sum(rating) AS ratings FROM reviews GROUP BY clinic_id) AS counted
    WHERE clinics.id = counted.clinic_id;

-- booking
INSERT INTO saga_timeline (saga_id, kind, step, direction, attempt, detail)
    SELECT id, 'replied', step, direction, 1, '' FROM sagas, generate_series(1, 3);
INSERT INTO saga_operations (saga_id, verb, operator, reason, saga_version, status_before, step_before, status_after,
        step_after)
    SELECT id, 'retry', 'somebody', 'asked', 1, 'parked', step, 'running', step FROM sagas;
INSERT INTO account_pets SELECT made('pet', n), made('user', n), false, 1 FROM generate_series(1, :bookings) AS n;
INSERT INTO catalog_clinics
    SELECT made('other', n), made('owner', n), 'Praktik Hewan', 'approved', 'Asia/Jakarta', 10, '{}', '{}', 1
    FROM generate_series(1, :bookings) AS n;
INSERT INTO catalog_services
    SELECT made('offer', n), made('other', n), 'Vaccination', 1, 'IDR', 30, false, true, 1
    FROM generate_series(1, :bookings) AS n;
INSERT INTO catalog_staff
    SELECT made('staff', n), made('other', n), made('vet', n), '{}', 1 FROM generate_series(1, :bookings) AS n;

-- payment
INSERT INTO called_off_orders (id) SELECT made('order', n) FROM generate_series(1, :bookings) AS n;
INSERT INTO money_orders (id, ordered_by, verb, subject_id, reason)
    SELECT made('order', n), 'saga', 'cancel_entry', made('entry', n), 'refused' FROM generate_series(1, :bookings) AS n;
INSERT INTO money_operations (operator, verb, subject_id, reason, reference)
    SELECT 'somebody', 'settle', made('settlement', n), 'the month is over', '' FROM generate_series(1, :bookings) AS n;
INSERT INTO settlements
    SELECT made('settlement', n), made('other', n), 'IDR', NULL, at(n) + n * interval '1 s', 1, 10, 1, 0, 9, at(n)
    FROM generate_series(1, :bookings) AS n;
INSERT INTO provider_events (provider, event_id, type, reference, disposition, payload)
    SELECT 'sandbox', 'evt_' || n, 'payment_intent.succeeded', made('payment', n), 'applied', '{}'
    FROM generate_series(1, :bookings) AS n;
INSERT INTO clinic_members SELECT made('vet', n), made('other', n), made('vet', n), 1 FROM generate_series(1, :bookings) AS n;

-- notification
INSERT INTO catalog_clinics SELECT made('other', n), 'Praktik Hewan', 'Asia/Jakarta', 1
    FROM generate_series(1, :bookings) AS n;
INSERT INTO catalog_services SELECT made('offer', n), made('other', n), 'Vaccination', 30, 1
    FROM generate_series(1, :bookings) AS n;

-- booking_waits
SELECT ensure_quarter_partition(parent, at(:bookings + :waiting)) FROM unnest(ARRAY['bookings', 'reservations']) AS parent;
INSERT INTO reservations (id, user_id, pet_id, service_id, slot_id, slot_date, lock_id, status, expires_at, created_at,
        clinic_id, starts_at, price, currency, commission_rate, cancellation_policy, requires_approval)
    SELECT made('reservation', n), made('user', n), made('pet', n), made('service', n), slots.id, slots.slot_date, 'lock',
        'pending', now() + interval '1 day', at(n), made('clinic', n), now() + interval '2 days', 150000, 'IDR', 10, '{}',
        true
    FROM generate_series(:bookings, :bookings + :waiting) AS n, (SELECT * FROM slots LIMIT 1) AS slots;
UPDATE bookings SET starts_at = now() + interval '30 days', start_told_at = now()
    WHERE status = 'confirmed' AND right(reference_code, 1) IN ('1', '2');
UPDATE bookings SET starts_at = now() + interval '30 days', cancellation_status = 'requested'
    WHERE status = 'confirmed' AND right(reference_code, 1) = '3';
INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
        version, step_began_at, due_at, trace)
    SELECT made('waiting', n), 'checkout', 3, 'checkout:waiting:' || n, CASE n % 2 WHEN 0 THEN 'running' ELSE 'parked' END,
        'approve', 'forward', 1, '[]', '{}', 1, at(n), CASE n % 2 WHEN 0 THEN now() + interval '1 day' END, '{}'
    FROM generate_series(:bookings, :bookings + :waiting) AS n;

-- payment_waits
INSERT INTO payments (id, booking_id, user_id, clinic_id, provider, external_reference, amount, payment_method, status,
        deadline, due_at, created_at, updated_at)
    SELECT made('payment', n), made('booking', n), made('user', n), made('clinic', n), 'sandbox', 'pi_' || n, 150000,
        'card', 'processing', now() + interval '1 day', now() + interval '1 day', at(n), at(n)
    FROM generate_series(:bookings, :bookings + :waiting) AS n;
UPDATE payments SET quarantined_at = at(1) + random() * interval '1 day', quarantined_amount = 1, quarantined_currency = 'IDR' WHERE status = 'refunded';
INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason, due_at, unknown_since,
        reversed_at, updated_at)
    SELECT made('late', n), made('payment', 1), made('booking', 1), 'cancellation', 1, 'IDR',
        CASE n % 2 WHEN 0 THEN 'submitted' ELSE 'manual' END, '', CASE n % 2 WHEN 0 THEN now() + interval '1 day' END,
        CASE n % 4 WHEN 0 THEN now() END, CASE n % 4 WHEN 1 THEN now() END,
        now() - n * interval '1 s'
    FROM generate_series(1, :waiting) AS n;

-- notification_waits
INSERT INTO notifications (id, user_id, booking_id, type, title, content, created_at)
    SELECT made('waiting', n), made('user', n), made('booking', n), 'booking_confirmed', '', '', at(n)
    FROM generate_series(:bookings, :bookings + :waiting) AS n;
INSERT INTO deliveries (id, notification_id, channel, status, due_at)
    SELECT id, id, 'email', CASE WHEN row_number() OVER () % 2 = 0 THEN 'pending' ELSE 'failed' END,
        now() + interval '1 day'
    FROM notifications WHERE title = '';
