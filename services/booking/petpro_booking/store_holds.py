"""The statement that holds seats, for any number of requests at once.

It comes in two shapes, which differ in how seats are taken: for requests that come together, and, for half the work,
for one that comes alone. What is known of a request, and what is written for it, is the same text in both.

How many seats a person holds is counted under a lock of that person: a statement of its own before this one, since what
a statement sees it sees as of its beginning, whatever it waits for. People are locked before slots, and in the order
of their ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from petpro_booking.partitioned import DAY, THE_DAY, THESE_DAYS, day_of
from petpro_common.db import Row, Transaction
from petpro_common.ids import span
from petpro_common.wire import BoundStatement

# One who holds at a time, else two at once would both find the last place. Whoever ends a hold takes no such lock: at
# worst a place that becomes free at this very moment is found taken.
_LOCK_PEOPLE = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(CAST(user_id AS text), 2))
    FROM unnest(CAST(:user_ids AS uuid[])) AS user_id
""")
# That it is pending is said as the index by person says it and no other does: while nobody holds anything all look
# alike, and by another one what everybody holds would be read.
# No hold lives for a month (`Settings.hold_seconds`, twice, and a day for the clinic): so one or two partitions are
# looked at, of all that there are. Ids carry the time of whoever made them, which may be ahead.
PENDING = """
    status NOT IN ('confirmed', 'cancelled', 'expired')
    AND created_at BETWEEN statement_timestamp() - interval '31 days' AND statement_timestamp() + interval '1 day'
"""
_LIVE = f"{PENDING} AND expires_at > statement_timestamp()"  # what somebody holds
# When somebody will hold one less than `most` at the latest: of those that end last, so many are left then.
_NEXT_PLACES = text(f"""
    SELECT user_id, EXTRACT(epoch FROM expires_at - statement_timestamp())::float AS seconds
    FROM unnest(CAST(:user_ids AS uuid[])) AS whose(user_id) CROSS JOIN LATERAL (
        SELECT expires_at FROM reservations WHERE reservations.user_id = whose.user_id AND {_LIVE}
        ORDER BY expires_at DESC OFFSET :most - 1 LIMIT 1) last_ends
""")  # of the text above


def _statement(asked: str, days: str, taken: str, granted: str) -> TextClause:
    """`taken` are the slots of which seats were taken, and when they start: one that was waited for may have been moved
    meanwhile, which offers do not know. `granted` are the offers that have one of these seats, each with its slot.

    `days` (`{days}` in `taken`) says on which days the slots are, by parameters alone: in which partitions to look must
    be known before the statement runs (why, says `partitioned`).

    asked     the requests, in the order in which they came
    offers    what is known for each: slot, price, policy, whose pet, whether its person holds as many seats as may be,
              and whether the same request was answered before
              (OFFSET 0 has each looked up by its key: a plan made while the tables are small would read them whole)
    held      reservations for those who came first
    """
    return text(f"""
    WITH asked AS ({asked}), offers AS (
        SELECT asked.*, slot.clinic_id, slot.service_id,
            service.price, service.currency, service.requires_approval,
            clinic.commission_rate,
            COALESCE(service.cancellation_policy, clinic.cancellation_policy) AS cancellation_policy,
            slot.id IS NOT NULL AS has_slot,
            slot.status = 'blocked' AS is_blocked,
            slot.status = 'booked' AS is_full,
            slot.starts_at <= CURRENT_TIMESTAMP AS has_begun,
            service.price IS NOT NULL AND clinic.status IS NOT NULL AS has_service,
            service.is_available AND clinic.status = 'approved' AS is_offered,
            pet.user_id = asked.user_id AND NOT pet.is_deleted AS is_own_pet,
            EXISTS (SELECT FROM reservations WHERE user_id = asked.user_id AND {_LIVE} OFFSET :most - 1) AS has_most,
            kept.key IS NOT NULL AS is_answered
        FROM asked
        LEFT JOIN LATERAL (
            SELECT id, service_id, clinic_id, status, starts_at FROM slots
            WHERE id = asked.slot_id AND {days} OFFSET 0) slot ON true
        LEFT JOIN LATERAL (
            SELECT price, currency, requires_approval, is_available, cancellation_policy FROM catalog_services
            WHERE id = slot.service_id OFFSET 0) service ON true
        LEFT JOIN LATERAL (
            SELECT status, commission_rate, cancellation_policy FROM catalog_clinics
            WHERE id = slot.clinic_id OFFSET 0) clinic ON true
        LEFT JOIN LATERAL (
            SELECT user_id, is_deleted FROM account_pets WHERE id = asked.pet_id OFFSET 0) pet ON true
        LEFT JOIN LATERAL (
            SELECT key FROM idempotency_keys
            WHERE caller = asked.caller AND method = asked.method AND key = asked.key OFFSET 0) kept ON true
    ), good AS (
        SELECT id, slot_id, turn FROM offers WHERE is_offered AND is_own_pet AND NOT has_most AND NOT is_answered
    ), {taken.format(days=days)}, held AS (
        INSERT INTO reservations (id, created_at, user_id, pet_id, service_id, slot_id, slot_date, clinic_id, starts_at,
            lock_id, price, currency, commission_rate, cancellation_policy, requires_approval, expires_at)
        SELECT offers.id, uuid_extract_timestamp(offers.id), user_id, pet_id, service_id, offers.slot_id, slot_date,
            clinic_id, taken.starts_at, lock_id, price, currency, commission_rate, cancellation_policy,
            requires_approval, LEAST(clock_timestamp() + make_interval(secs => :hold_seconds), taken.starts_at)
        FROM {granted}
        RETURNING id, user_id, pet_id, service_id, slot_id, lock_id, status, expires_at, created_at, price, currency,
            checkout_status, failure_reason, booking_id, payment_id
    )
    SELECT held.*, held.id IS NOT NULL AS is_held, offers.has_slot, offers.is_blocked, offers.is_full, offers.has_begun,
        offers.has_service, offers.is_offered, offers.is_own_pet, offers.has_most
    FROM offers LEFT JOIN held ON held.id = offers.id ORDER BY offers.turn
    """)


# places    the requests of each slot to whom it can be offered, counted in the order in which they came
# wanted    how many seats of each slot that is
# locked    these slots, locked in the order of their ids, as everybody locks them; NO KEY, or bookings that are made in
#           them, in any order, would wait for the keys to which they refer
# taken     as many seats of each as there are; a slot that somebody else held until now is looked at anew
# Both are found by a list of ids: joins that are planned while the tables are small would read all slots of these days.
_TOGETHER = _statement(
    f"""
        SELECT request.*, {day_of("slot_id")} AS slot_date
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:user_ids AS uuid[]), CAST(:pet_ids AS uuid[]), CAST(:slot_ids AS uuid[]),
            CAST(:lock_ids AS text[]), CAST(:callers AS text[]), CAST(:methods AS text[]), CAST(:keys AS text[])
        ) WITH ORDINALITY AS request(id, user_id, pet_id, slot_id, lock_id, caller, method, key, turn)
    """,
    THESE_DAYS,
    """places AS (
        SELECT id, slot_id, row_number() OVER (PARTITION BY slot_id ORDER BY turn) AS place FROM good
    ), wanted AS (
        SELECT slot_id, count(*) AS seats FROM places GROUP BY slot_id
    ), locked AS (
        SELECT id FROM slots
        WHERE id = ANY(ARRAY(SELECT slot_id FROM wanted)) AND {days} ORDER BY id FOR NO KEY UPDATE
    ), taken AS (
        UPDATE slots slot SET booked_count = LEAST(booked_count + wanted.seats, capacity),
            status = CASE WHEN booked_count + wanted.seats >= capacity THEN 'booked' ELSE 'available' END,
            updated_at = CURRENT_TIMESTAMP
        FROM wanted
        WHERE slot.id = wanted.slot_id AND slot.id = ANY(ARRAY(SELECT id FROM locked)) AND {days}
          AND slot.status = 'available' AND slot.booked_count < slot.capacity AND slot.starts_at > CURRENT_TIMESTAMP
        RETURNING slot.id, slot.starts_at, new.booked_count - old.booked_count AS seats
    )""",
    """offers JOIN places ON places.id = offers.id
            JOIN taken ON taken.id = places.slot_id AND places.place <= taken.seats""",
)

# taken     the slot, when it has a seat
_ALONE = _statement(
    f"""
        SELECT CAST(:id AS uuid) AS id, CAST(:user_id AS uuid) AS user_id, CAST(:pet_id AS uuid) AS pet_id,
            CAST(:slot_id AS uuid) AS slot_id, CAST(:lock_id AS text) AS lock_id, CAST(:caller AS text) AS caller,
            CAST(:method AS text) AS method, CAST(:key AS text) AS key, 1 AS turn,
            {DAY} AS slot_date
    """,
    THE_DAY,
    """taken AS (
        UPDATE slots SET booked_count = booked_count + 1,
            status = CASE WHEN booked_count + 1 >= capacity THEN 'booked' ELSE 'available' END,
            updated_at = CURRENT_TIMESTAMP
        WHERE id = CAST(:slot_id AS uuid) AND {days} AND EXISTS (SELECT FROM good)
          AND status = 'available' AND booked_count < capacity AND starts_at > CURRENT_TIMESTAMP
        RETURNING starts_at
    )""",
    "offers CROSS JOIN taken",
)


async def hold(tx: Transaction, requests: Sequence[Mapping[str, Any]], hold_seconds: float, most: int) -> Sequence[Row]:
    """Holds a seat for each request that it can be held for, first come, first served, and never more than there are.

    Each request is another person's, who holds no more than `most` afterwards: of two of one person each would be
    counted without the other.
    For each request, in order: the reservation if `is_held`, which runs out `hold_seconds` after now by the database's
    clock, or when its slot begins; or what speaks against it. A full slot is what is left when nothing does, or that
    the same request was answered before.
    People, and the slots' rows, stay locked until the transaction ends.
    """
    tx.write(_LOCK_PEOPLE, {"user_ids": sorted({request["user_id"] for request in requests})})
    if len(requests) == 1:
        return (await tx.execute(_ALONE, {**requests[0], "hold_seconds": hold_seconds, "most": most})).all()
    columns = {f"{name}s": [request[name] for request in requests] for name in requests[0]}
    first, last = span(columns["slot_ids"])
    row = {**columns, "first_slot_id": first, "last_slot_id": last, "hold_seconds": hold_seconds, "most": most}
    return (await tx.execute(_TOGETHER, row)).all()


def next_places(user_ids: Iterable[UUID], most: int) -> BoundStatement:
    """The statement that tells of those who hold `most` seats or more in how many seconds at most they hold less."""
    return _NEXT_PLACES, {"user_ids": list(user_ids), "most": most}
