-- Approved clinics all over Java and beyond, most of them not near anybody in particular.
CREATE TEMPORARY TABLE more ON COMMIT DROP AS
SELECT uuidv7() AS id, n, random() AS across, random() AS along FROM generate_series(1, %(more)s) AS n;
INSERT INTO clinics (id, owner_id, name, address, city, province, postal_code, latitude, longitude, phone_number, email,
                     status)
SELECT id, id, 'Klinik Hewan ' || n, 'Jl. Uji ' || n, 'Kota ' || n %% 100, 'Jawa ' || n %% 10, '10110',
       -8.5 + 3 * across, 105 + 10 * along, '+622112345678', 'klinik.' || id || '@petpro.example', 'approved'
  FROM more;
INSERT INTO cancellation_policies (clinic_id, version, tiers) SELECT id, 1, '[]' FROM more
