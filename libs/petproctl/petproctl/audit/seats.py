"""Promise 1: seats, people and bookings. All of it lies in booking's database and is read in one snapshot."""

from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant


@invariant(1)
def seats_counted(look: Look) -> Findings:
    """A slot counts as many seats as live holds and bookings take.

    A hold is live while pending; a booking unless cancelled, for who was there, or did not come, had the seat. Seat
    and holder change in one transaction, so even a slot in the middle of a rush is exact in one statement.
    """
    return look.broken(
        "booking",
        "slots",
        """SELECT id, CASE WHEN booked_count <> taken
            THEN 'counts ' || booked_count || ' seats, ' || taken || ' are taken' END AS broken
        FROM batch CROSS JOIN LATERAL (SELECT
            (SELECT count(*) FROM reservations WHERE slot_id = batch.id AND reservations.status = 'pending') +
            (SELECT count(*) FROM bookings WHERE slot_id = batch.id AND bookings.status <> 'cancelled') AS taken) AS t
        ORDER BY id""",
    )


@invariant(1)
def seats_within_capacity(look: Look) -> Findings:
    """A slot is never taken by more than fit in, whatever it counts. Exact as `seats_counted` is."""
    return look.broken(
        "booking",
        "slots",
        """SELECT id, CASE WHEN taken > capacity THEN taken || ' are in ' || capacity || ' seats' END AS broken
        FROM batch CROSS JOIN LATERAL (SELECT
            (SELECT count(*) FROM reservations WHERE slot_id = batch.id AND reservations.status = 'pending') +
            (SELECT count(*) FROM bookings WHERE slot_id = batch.id AND bookings.status <> 'cancelled') AS taken) AS t
        ORDER BY id""",
    )


@invariant(1)
def staff_time_is_taken(look: Look) -> Findings:
    """Whoever serves a slot is marked as occupied for exactly its time.

    A trigger marks it with the slot, in one transaction.
    """
    return look.broken(
        "booking",
        "slots",
        """SELECT batch.id, CASE WHEN batch.staff_id IS NOT NULL AND (o.slot_id IS NULL
                OR (o.staff_id, o.during) IS DISTINCT FROM (batch.staff_id, tstzrange(batch.starts_at, batch.ends_at)))
            THEN 'the time of its person is marked otherwise' END AS broken
        FROM batch LEFT JOIN staff_occupancy o ON o.slot_id = batch.id ORDER BY batch.id""",
    )


@invariant(1)
def staff_in_one_place(look: Look) -> Findings:
    """Nobody serves two slots at once. Exact in one snapshot. A slot is no longer than a day."""
    return look.broken(
        "booking",
        "slots",
        """SELECT id, CASE WHEN staff_id IS NOT NULL AND EXISTS (
                SELECT FROM slots other WHERE other.staff_id = batch.staff_id AND other.id <> batch.id
                AND other.slot_date BETWEEN batch.slot_date - 1 AND batch.slot_date + 1
                AND other.starts_at > batch.starts_at - interval '1 day' AND other.starts_at < batch.ends_at
                AND other.ends_at > batch.starts_at)
            THEN 'its person serves another slot at that time' END AS broken
        FROM batch ORDER BY id""",
    )


@invariant(1)
def holds_end_in_time(look: Look) -> Findings:
    """A hold that has run out is ended, and its seat free, within the grace; also one that is being paid for."""
    return look.broken(
        "booking",
        "reservations",
        """SELECT id, CASE WHEN expires_at < CURRENT_TIMESTAMP - %(grace)s
            THEN 'has been over since ' || expires_at END AS broken
        FROM batch ORDER BY id""",
        always="status = 'pending'",
    )


@invariant(1)
def holds_sit_in_their_slots(look: Look) -> Findings:
    """Time, service and clinic of a live hold are those of its slot, also after a move: one transaction."""
    return look.broken(
        "booking",
        "reservations",
        """SELECT batch.id, CASE WHEN (batch.service_id, batch.clinic_id, batch.starts_at)
                IS DISTINCT FROM (s.service_id, s.clinic_id, s.starts_at)
            THEN 'says another time, service or clinic than its slot' END AS broken
        FROM batch LEFT JOIN slots s ON s.id = batch.slot_id AND s.slot_date = batch.slot_date ORDER BY batch.id""",
        always="status = 'pending'",
    )


@invariant(1)
def bookings_come_from_their_holds(look: Look) -> Findings:
    """The hold of a booking is confirmed and names it. Both change in one transaction."""
    return look.broken(
        "booking",
        "bookings",
        """SELECT batch.id, CASE WHEN batch.reservation_id IS NOT NULL
                AND (r.status, r.booking_id) IS DISTINCT FROM ('confirmed', batch.id)
            THEN 'its hold is ' || coalesce(r.status, 'missing') || ' with booking '
                || coalesce(r.booking_id::text, 'none') END AS broken
        FROM batch LEFT JOIN reservations r ON r.id = batch.reservation_id
            AND r.created_at = uuid_extract_timestamp(batch.reservation_id)
        ORDER BY batch.id""",
    )


@invariant(1)
def confirmed_holds_became_bookings(look: Look) -> Findings:
    """A confirmed hold has a booking. Both change in one transaction."""
    return look.broken(
        "booking",
        "reservations",
        """SELECT batch.id, CASE WHEN batch.status = 'confirmed' AND b.id IS NULL
            THEN 'is confirmed without a booking' END AS broken
        FROM batch LEFT JOIN bookings b ON b.id = batch.booking_id
            AND b.created_at = uuid_extract_timestamp(batch.booking_id)
        ORDER BY batch.id""",
    )


@invariant(1)
def bookings_sit_in_their_slots(look: Look) -> Findings:
    """Time, service and clinic of a booking are those of its slot, also after a move: one transaction.

    One that was cancelled keeps the time by which its refund was reckoned when zone rules move the slot.
    """
    return look.broken(
        "booking",
        "bookings",
        """SELECT batch.id, CASE WHEN (batch.service_id, batch.clinic_id) IS DISTINCT FROM (s.service_id, s.clinic_id)
                OR batch.status <> 'cancelled' AND batch.starts_at IS DISTINCT FROM s.starts_at
            THEN 'says another time, service or clinic than its slot' END AS broken
        FROM batch LEFT JOIN slots s ON s.id = batch.slot_id AND s.slot_date = batch.slot_date ORDER BY batch.id""",
    )


@invariant(1)
def reference_codes_name_their_bookings(look: Look) -> Findings:
    """The code that a customer reads out leads to that booking and to no other. One transaction."""
    return look.broken(
        "booking",
        "bookings",
        """SELECT batch.id, CASE WHEN c.booking_id IS DISTINCT FROM batch.id
            THEN 'its code leads to ' || coalesce(c.booking_id::text, 'nothing') END AS broken
        FROM batch LEFT JOIN reference_codes c ON c.reference_code = batch.reference_code ORDER BY batch.id""",
    )
