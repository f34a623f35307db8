"""Clinics, services, staff and reviews as in the domain document, and the tables of messages and idempotency.

The extensions cube, earthdistance and pg_trgm must be there: only a superuser may add them.
"""

from alembic import op

from petpro_common.idempotency import IDEMPOTENCY_V1
from petpro_common.messaging.schema import MESSAGING_V1

revision = "0001"
down_revision = None

_CLINICS = """
CREATE TABLE clinics (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    owner_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    address TEXT NOT NULL,
    city VARCHAR(100) NOT NULL,
    province VARCHAR(100) NOT NULL,
    postal_code VARCHAR(10) NOT NULL,
    latitude DECIMAL(10,8),
    longitude DECIMAL(11,8),
    phone_number VARCHAR(20) NOT NULL,
    email VARCHAR(255) NOT NULL,
    website VARCHAR(255),
    description TEXT,
    operating_hours JSONB NOT NULL DEFAULT '{
        "monday": {"open": "09:00", "close": "18:00", "is_open": true},
        "tuesday": {"open": "09:00", "close": "18:00", "is_open": true},
        "wednesday": {"open": "09:00", "close": "18:00", "is_open": true},
        "thursday": {"open": "09:00", "close": "18:00", "is_open": true},
        "friday": {"open": "09:00", "close": "18:00", "is_open": true},
        "saturday": {"open": "09:00", "close": "15:00", "is_open": true},
        "sunday": {"open": null, "close": null, "is_open": false}
    }',
    facilities JSONB NOT NULL DEFAULT '[]',
    status VARCHAR(20) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected', 'suspended')),
    commission_rate DECIMAL(5,2) NOT NULL DEFAULT 10.00,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    timezone VARCHAR(64) NOT NULL DEFAULT 'Asia/Jakarta',
    policy_version INTEGER NOT NULL DEFAULT 1,
    version BIGINT NOT NULL DEFAULT 1,

    CONSTRAINT valid_commission_rate CHECK (commission_rate BETWEEN 0 AND 100),
    CONSTRAINT valid_location CHECK (
        (latitude IS NULL) = (longitude IS NULL)
        AND latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180
    )
);
CREATE INDEX idx_clinics_owner ON clinics (owner_id);
CREATE INDEX idx_clinics_status ON clinics (status, name, id) WHERE status <> 'approved';
CREATE INDEX idx_clinics_location ON clinics (lower(city), lower(province));
CREATE INDEX idx_clinics_geolocation ON clinics USING gist (ll_to_earth(latitude, longitude));
CREATE INDEX idx_clinics_name ON clinics (name, id);
CREATE INDEX idx_clinics_words ON clinics USING gin ((name || ' ' || coalesce(description, '')) gin_trgm_ops);

CREATE TABLE cancellation_policies (
    clinic_id UUID NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    tiers JSONB NOT NULL CHECK (jsonb_typeof(tiers) = 'array'),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    PRIMARY KEY (clinic_id, version),
    CONSTRAINT fk_clinic FOREIGN KEY (clinic_id) REFERENCES clinics (id) ON DELETE RESTRICT
);
ALTER TABLE clinics ADD CONSTRAINT fk_policy FOREIGN KEY (id, policy_version)
    REFERENCES cancellation_policies (clinic_id, version) DEFERRABLE INITIALLY DEFERRED;
"""

_SERVICES = """
CREATE TABLE services (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    clinic_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    description TEXT,
    price DECIMAL(12,2) NOT NULL,
    duration_minutes INTEGER NOT NULL DEFAULT 30,
    requires_approval BOOLEAN NOT NULL DEFAULT FALSE,
    is_available BOOLEAN NOT NULL DEFAULT TRUE,
    availability_exceptions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    currency VARCHAR(3) NOT NULL DEFAULT 'IDR' CHECK (currency ~ '^[A-Z]{3}$'),
    version BIGINT NOT NULL DEFAULT 1,

    CONSTRAINT fk_clinic FOREIGN KEY (clinic_id) REFERENCES clinics (id) ON DELETE RESTRICT,
    CONSTRAINT valid_duration CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT valid_price CHECK (price >= 0)
);
CREATE INDEX idx_services_clinic ON services (clinic_id, name, id);
CREATE INDEX idx_services_price ON services (price);
CREATE INDEX idx_services_availability ON services (clinic_id, name, id) WHERE is_available;
"""

_STAFF = """
CREATE TABLE staff (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    clinic_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL CHECK (name <> ''),
    email VARCHAR(255) NOT NULL,
    phone VARCHAR(20),
    role VARCHAR(50) NOT NULL CHECK (role <> ''),
    specialization VARCHAR(100),
    photo_url VARCHAR(255),
    working_hours JSONB,
    qualifications JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    user_id UUID,
    version BIGINT NOT NULL DEFAULT 1,

    CONSTRAINT fk_clinic FOREIGN KEY (clinic_id) REFERENCES clinics (id) ON DELETE RESTRICT
);
CREATE INDEX idx_staff_clinic ON staff (clinic_id, name, id);
CREATE INDEX idx_staff_role ON staff (role);
CREATE INDEX idx_staff_email ON staff (email);
CREATE INDEX idx_staff_user ON staff (user_id, clinic_id) WHERE user_id IS NOT NULL;
"""

_REVIEWS = """
CREATE TABLE reviews (
    id UUID PRIMARY KEY DEFAULT uuidv7(),
    booking_id UUID NOT NULL UNIQUE,
    user_id UUID NOT NULL,
    clinic_id UUID NOT NULL,
    service_id UUID NOT NULL,
    rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
    comment TEXT,
    attachments JSONB NOT NULL DEFAULT '[]',
    is_verified BOOLEAN NOT NULL DEFAULT TRUE,
    is_published BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT fk_clinic FOREIGN KEY (clinic_id) REFERENCES clinics (id) ON DELETE RESTRICT,
    CONSTRAINT fk_service FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE RESTRICT
);
CREATE INDEX idx_reviews_user ON reviews (user_id);
CREATE INDEX idx_reviews_clinic ON reviews (clinic_id);
CREATE INDEX idx_reviews_service ON reviews (service_id);
CREATE INDEX idx_reviews_rating ON reviews (rating);
CREATE INDEX idx_reviews_published ON reviews (clinic_id, id) INCLUDE (rating) WHERE is_published;

CREATE TABLE completed_bookings (
    booking_id UUID PRIMARY KEY,
    user_id UUID NOT NULL,
    clinic_id UUID NOT NULL,
    service_id UUID NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE NOT NULL
);
"""


def upgrade() -> None:
    for statements in (MESSAGING_V1, IDEMPOTENCY_V1, _CLINICS, _SERVICES, _STAFF, _REVIEWS):
        op.execute(statements)
