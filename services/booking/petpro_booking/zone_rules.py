"""When a government changes its clock, slots keep their local time, and what is in them follows.

Slots to come whose instants are not what their local times and zones mean now are moved, with their holds and bookings;
who is booked hears of it as of any move.

- What would have come back right before of a booking that begins earlier now is from then on the least that does.
- Nobody is moved onto something else of the same person. Such a slot is taken off the market, named in the log, and
  counted as long as somebody is booked in it, whatever else of the person is in hand; not one that waits for what is.
- Of the releases of zone rules that run side by side in an update the newest alone moves slots.
- Of the replicas with the same rules one looks, for as long as it lives; the next begins with a look of its own. A job
  looks beside it: each slot is moved once, whoever looks.
- A transaction moves at most BATCH slots of one diary, whose lock `slots` takes too when it makes slots. It waits for
  nobody who has a hold or a booking in hand: their slots, and those of a cancellation under way, are moved later.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Gauge

from petpro_booking import diary, events, refund_policy, zone_rules_stuck
from petpro_booking import store_zone_rules as store
from petpro_booking.diary import Opening
from petpro_booking.zone_rules_stuck import Stale
from petpro_common import zones
from petpro_common.db import Database, Row, Transaction
from petpro_common.leadership import Leadership
from petpro_common.rounds import in_rounds

BATCH = 50
_EVERY_SECONDS = 3_600.0
_SOON_SECONDS = 60.0
OFF_THE_CLOCK = Gauge(
    "petpro_slots_off_the_clock", "Booked slots that are not when their local time says, and cannot be moved there"
)

_log = structlog.get_logger()


async def run(database: Database, sessions: Database) -> None:
    """Moves what is to be moved, now and every hour until cancelled; sooner when something was in hand.

    While another replica does, it asks every minute whether that is gone. `sessions` is as for `Leadership`.
    """
    async with Leadership(sessions) as leadership:
        next_look = 0.0

        async def one_round() -> float:
            nonlocal next_look
            if not await leadership.is_ours(f"zone rules {zones.RULES}"):
                OFF_THE_CLOCK.set(0)  # who looks tells
                next_look = 0.0
            elif time.monotonic() >= next_look:
                pause = _SOON_SECONDS if await move_all(database) else _EVERY_SECONDS
                next_look = time.monotonic() + pause
            return _SOON_SECONDS

        await in_rounds("zone rules", one_round)


async def move_all(database: Database) -> bool:
    """Moves all that is not when its local time says; whether something was in hand, and is to be moved later."""
    is_left, stuck = False, 0
    if await _take_over(database):
        for whose in await _stale_diaries(database):
            was_in_hand, booked = await _move_diary(database, whose)
            is_left |= was_in_hand
            stuck += booked
    OFF_THE_CLOCK.set(stuck)
    return is_left


async def _take_over(database: Database) -> bool:
    async with database.transaction() as tx:
        return await store.take_over(tx, zones.RULES)


async def _stale_diaries(database: Database) -> set[UUID]:
    found: set[UUID] = set()
    async with database.reading() as tx:
        last = await store.last_day(tx)
    for day in _days_until(last):
        async with database.reading() as tx:
            if times := [times for times, _ in stale(await store.times(tx, day))]:
                found.update(await store.diaries(tx, day, times))
    return found


def _days_until(last: date | None) -> Iterator[date]:
    day = datetime.now(UTC).date() - timedelta(days=1)
    while last and day <= last:
        yield day
        day += timedelta(days=1)


def stale(slots: Sequence[Row]) -> list[Stale]:
    """Those that are not when their local times say, in the order in which each makes room for the next: those that go
    to an earlier time forwards, then those that go to a later one backwards."""
    meant = [(slot, _meant(slot)) for slot in slots if slot.timezone in zones.names()]
    found = [(slot, to) for slot, to in meant if (slot.starts_at, slot.slot_end_time) != (to.starts_at, to.ends.time())]
    found.sort(key=lambda each: each[0].starts_at)
    later = [each for each in found if each[1].starts_at > each[0].starts_at]
    return [each for each in found if each[1].starts_at <= each[0].starts_at] + later[::-1]


def _meant(slot: Row) -> Opening:
    starts = datetime.combine(slot.slot_date, slot.slot_start_time)
    return diary.opening(starts, slot.ends_at - slot.starts_at, zones.zone(slot.timezone))


async def _move_diary(database: Database, whose: UUID) -> tuple[bool, int]:
    """Moves until nothing moves any more; whether something was in hand, and how many that are stuck are booked."""
    while True:
        async with database.reading() as tx:
            slots = await store.diary(tx, whose)
        wanted = await asyncio.to_thread(stale, slots)  # there may be thousands
        moved, in_hand = await _one_round(database, whose, wanted)
        if not moved:
            stuck = await asyncio.to_thread(zone_rules_stuck.stuck, wanted, slots, in_hand)
            return bool(in_hand), await _give_up(database, whose, stuck)
        _log.info("slots follow zone rules", rules=zones.RULES, diary=str(whose), slots=moved)


async def _one_round(database: Database, whose: UUID, wanted: Sequence[Stale]) -> tuple[int, set[UUID]]:
    """How many moved, and which were in hand."""
    moved, in_hand = 0, set[UUID]()
    for first in range(0, len(wanted), BATCH):
        async with database.transaction() as tx:
            more, were_in_hand = await move(tx, whose, wanted[first : first + BATCH])
        moved += more
        in_hand |= were_in_hand
    return moved, in_hand


async def move(tx: Transaction, whose: UUID, wanted: Sequence[Stale]) -> tuple[int, set[UUID]]:
    """Moves slots of a diary with what is in them: how many, and which were in hand: all, where the diary was."""
    if not await store.may_move(tx, zones.RULES, whose):
        return 0, {slot.id for slot, _ in wanted}
    in_hand = await store.lock(tx, [slot for slot, _ in wanted])
    moved = [(slot, to) for slot, to in wanted if slot.id not in in_hand and await store.move(tx, slot, to)]
    starts = {slot.id: slot.slot_start_time for slot, _ in moved}
    followed = await store.follow(tx, moved) if moved else ()
    store.set_floors(
        tx, {each.id: _owed(each) for each in followed if each.payment_id and each.starts_at < each.was_at}
    )
    for booking in followed:
        if booking.status == "confirmed":
            events.booking_rescheduled(tx, booking, starts[booking.slot_id])
    return len(moved), in_hand


def _owed(booking: Row) -> int:
    """How much of the price would have come back right before it moved."""
    bounds = refund_policy.bounds_of(booking)
    return int(refund_policy.refund_percent(booking.cancellation_policy, booking.was_at, booking.now, bounds))


async def _give_up(database: Database, whose: UUID, stuck: Sequence[Stale]) -> int:
    """Takes slots that cannot move off the market; how many of them are booked."""
    booked = 0
    for first in range(0, len(stuck), BATCH):
        async with database.transaction() as tx:
            booked += await _block(tx, whose, stuck[first : first + BATCH])
    return booked


async def _block(tx: Transaction, whose: UUID, stuck: Sequence[Stale]) -> int:
    """Who has the diary now may make room: where it is not to be had slots are counted as they were seen."""
    if not await store.may_move(tx, zones.RULES, whose):
        return sum(slot.booked_count > 0 for slot, _ in stuck)
    booked = await store.block(tx, [slot for slot, _ in stuck])
    for slot, to in stuck:
        if slot.id in booked:
            _log.warning(
                "slot is not when its local time says, and cannot be moved: another is there",
                slot=str(slot.id),
                staff=str(slot.staff_id),
                starts_at=slot.starts_at.isoformat(),
                would_start_at=to.starts_at.isoformat(),
                booked=booked[slot.id],
            )
    return sum(map(bool, booked.values()))
