"""Which slots are stuck when none could move, and which only wait."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from petpro_booking.diary import Opening
from petpro_booking.zone_rules_stuck import stuck

HOUR = timedelta(hours=1)
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Slot:
    """An hour of somebody's day."""

    name: str
    hour: int

    @property
    def id(self) -> UUID:
        return uuid5(UUID(int=0), self.name)

    @property
    def starts_at(self) -> datetime:
        return MIDNIGHT + self.hour * HOUR

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + HOUR


def opening(hour: int) -> Opening:
    starts = MIDNIGHT + hour * HOUR
    return Opening(starts, starts + HOUR, starts, starts + HOUR)


@pytest.mark.parametrize(
    ("to_move", "others", "in_hand", "expected"),
    [
        ({"nine": (9, 8)}, {"surgery": 8}, "", "nine"),
        ({"nine": (9, 8)}, {"surgery": 7}, "nine", ""),
        ({"nine": (9, 8)}, {"surgery": 8}, "nine", "nine"),
        ({"nine": (9, 8), "two": (14, 13)}, {"surgery": 13}, "nine", "two"),
        ({"nine": (9, 8), "ten": (10, 9), "eleven": (11, 10)}, {}, "nine", ""),
        ({"nine": (9, 8), "ten": (10, 9), "eleven": (11, 10)}, {"surgery": 8}, "", "nine ten eleven"),
        ({"nine": (9, 8), "ten": (10, 9), "eleven": (11, 10)}, {"surgery": 8}, "nine eleven", "nine ten eleven"),
        ({"nine": (9, 10), "ten": (10, 9)}, {}, "", "nine ten"),
        ({"nine": (9, 10), "ten": (10, 9), "one": (13, 12)}, {}, "one", "nine ten"),
        ({"nine": (9, 10), "ten": (10, 9)}, {}, "ten", ""),
        ({"nine": (9, 8), "one": (13, 12)}, {}, "one", "nine"),
    ],
    ids=[
        "another is there",
        "in hand",
        "in hand, and another is there",
        "something else is in hand",
        "one behind the other, the first in hand",
        "one behind the other, the first stuck",
        "one behind the other, the first stuck and in hand",
        "two where the other is to go",
        "two where the other is to go, and something else in hand",
        "two where the other is to go, one in hand",
        "what has begun is there",
    ],
)
def test_who_waits_for_what_is_in_hand_is_not_stuck(
    to_move: dict[str, tuple[int, int]], others: dict[str, int], in_hand: str, expected: str
) -> None:
    named = {name: Slot(name, hour) for name, (hour, _) in to_move.items()}
    wanted: list[Any] = [(named[name], opening(to)) for name, (_, to) in to_move.items()]
    diary: list[Any] = [*named.values(), *(Slot(name, hour) for name, hour in others.items())]
    found = stuck(wanted, diary, {named[name].id for name in in_hand.split()})
    assert [slot for slot, _ in found] == [named[name] for name in expected.split()]


def test_a_slot_of_another_length_is_seen_wherever_it_overlaps() -> None:
    @dataclass(frozen=True)
    class Long(Slot):
        @property
        def ends_at(self) -> datetime:
            return self.starts_at + 24 * HOUR

    nine, held = Slot("nine", 33), Slot("held", 50)
    wanted: list[Any] = [(nine, opening(32)), (held, opening(49))]
    diary: list[Any] = [nine, held, Long("a whole day", 9), Slot("far", 60)]
    assert [slot for slot, _ in stuck(wanted, diary, {held.id})] == [nine]
