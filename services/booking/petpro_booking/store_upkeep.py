"""Every SQL statement of the upkeep: partitions ahead of time, and the monthly summary."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import text

from petpro_booking import diary
from petpro_common import zones
from petpro_common.db import Row, Transaction

# A partition is made under a lock on its whole table: rather try again later than let everybody queue behind it.
_BE_POLITE = text("SET LOCAL lock_timeout = '500ms'")
_SLOTS_PARTITION = text("SELECT ensure_slot_partition(:day)")
_QUARTERS = text("""
    SELECT ensure_quarter_partition(:parent, CURRENT_TIMESTAMP + make_interval(months => n * 3))
    FROM generate_series(0, :quarters) AS n
""")
_MONTHS = text("""
    SELECT ensure_slot_partition((CURRENT_DATE + make_interval(months => n))::date)
    FROM generate_series(0, :months) AS n
""")
# Up to the first period without a partition; a table that was detached and is still there is none.
_AHEAD = text("""
    WITH period AS (
        SELECT parent, n, parent || CASE parent
            WHEN 'slots' THEN to_char(this_month + make_interval(months => n), '_YYYY_MM')
            ELSE to_char(this_month + make_interval(months => n * 3), '_YYYY_"q"Q') END AS part
        FROM unnest(ARRAY['slots', 'reservations', 'bookings']) AS parent, generate_series(1, :most) AS n,
            date_trunc('month', CURRENT_TIMESTAMP AT TIME ZONE 'UTC') AS this_month)
    SELECT parent AS name, coalesce(min(n) FILTER (WHERE NOT EXISTS (
        SELECT FROM pg_inherits WHERE inhparent = to_regclass(parent) AND inhrelid = to_regclass(part))) - 1, :most)
        AS ahead
    FROM period GROUP BY parent
""")
_MOST_AHEAD = 60

_REFRESH_SECONDS = 600
_TAKE_TIME = text(f"SET LOCAL statement_timeout = '{_REFRESH_SECONDS}s'")
_TURN = text("SELECT pg_try_advisory_xact_lock(hashtext('clinic_booking_summary'))")
_READ_MUCH = text("""
    SELECT set_config(way, 'on', true)
    FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS way
""")
# One has none before the first booking. A booking keeps the zone in which it was made, whatever its clinic's is now.
_PLACES = text("""
    SELECT timezone, first.made_at, CURRENT_TIMESTAMP AS now
    FROM (SELECT timezone FROM catalog_clinics UNION SELECT timezone FROM bookings) AS places,
        (SELECT min(created_at) AS made_at FROM bookings) AS first WHERE first.made_at IS NOT NULL
""")
_KEEP_MONTHS = text("""
    INSERT INTO local_months (timezone, month, starts_at)
    SELECT * FROM unnest(CAST(:timezones AS text[]), CAST(:months AS date[]), CAST(:starts AS timestamptz[]))
    ON CONFLICT (timezone, month) DO UPDATE SET starts_at = excluded.starts_at
    WHERE local_months.starts_at <> excluded.starts_at
""")
_REFRESH = text("SELECT refresh_materialized_views()")
_SUMMARY = text("""
    SELECT month, currency, total_bookings, total_revenue, net_revenue, cancelled_count
    FROM clinic_booking_summary WHERE clinic_id = :clinic_id ORDER BY month DESC, currency
""")


async def ensure_slots_of(tx: Transaction, months: Sequence[date]) -> None:
    """Has a partition for the slots of each of these months; those that exist cost nothing."""
    await tx.execute(_BE_POLITE)
    for day in months:
        await tx.execute(_SLOTS_PARTITION, {"day": day})


async def ensure_ahead(tx: Transaction, months: int, quarters: int) -> None:
    """Has partitions for this period and the next ones: months of slots, quarters of reservations and bookings."""
    await tx.execute(_BE_POLITE)
    await tx.execute(_MONTHS, {"months": months})
    for parent in ("reservations", "bookings"):
        await tx.execute(_QUARTERS, {"parent": parent, "quarters": quarters})


async def partitions_ahead(tx: Transaction) -> dict[str, int]:
    """By table: how many of the next periods have a partition, up to the first that has none."""
    return {row.name: row.ahead for row in await tx.execute(_AHEAD, {"most": _MOST_AHEAD})}


async def refresh_summary(tx: Transaction) -> bool:
    """Brings the summary up to date while others read it; False when somebody else is at it."""
    if not (await tx.execute(_TURN)).scalar_one():
        return False
    tx.may_take = _REFRESH_SECONDS + 10
    await tx.execute(_TAKE_TIME)
    await tx.execute(_READ_MUCH)
    await _keep_months(tx)
    await tx.execute(_REFRESH)
    return True


async def _keep_months(tx: Transaction) -> None:
    """Has the view know where the months of all clinics and bookings begin.

    PostgreSQL's own zones may be of another release.
    """
    places = [place for place in await tx.execute(_PLACES) if place.timezone in zones.names()]
    found = [
        (place.timezone, *month)
        for place in places
        for month in diary.months(place.made_at, place.now, zones.zone(place.timezone))
    ]
    timezones, months, starts = zip(*found, strict=True) if found else ((), (), ())
    tx.write(_KEEP_MONTHS, {"timezones": list(timezones), "months": list(months), "starts": list(starts)})


async def summary(tx: Transaction, clinic_id: UUID) -> Sequence[Row]:
    """A clinic's months, newest first, as of the last refresh."""
    return (await tx.execute(_SUMMARY, {"clinic_id": clinic_id})).all()
