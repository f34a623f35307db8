"""Which slots cannot go where their local times say, since another of the same diary is there and stays there.

A slot waits for another that is to move too, and does not yet: something in it is in hand, or it waits itself. It is
stuck behind one that stays where it is, or is stuck itself, whatever is in hand elsewhere.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from petpro_booking.diary import Opening
from petpro_common.db import Row

Stale: TypeAlias = tuple[Row, Opening]
"""A slot, and when it is by the rules of now."""

_LONGEST_SLOT = timedelta(days=1)
_Ways: TypeAlias = Mapping[UUID, Collection[UUID]]


def stuck(wanted: Sequence[Stale], slots: Sequence[Row], in_hand: Collection[UUID]) -> list[Stale]:
    """Of slots that are to move, when none could: all but those in hand, and those that wait for them.

    `slots` is their diary. What is in the way of one and not in the diary has begun, and stays.
    """
    ways = _ways(wanted, slots)
    to_move = ways.keys()
    stay = {id_ for id_, way in ways.items() if (not way and id_ not in in_hand) or any(x not in to_move for x in way)}
    stay = _with_those_behind(stay, ways)
    wait = _with_those_behind((id_ for id_ in in_hand if id_ not in stay), ways) - stay
    return [each for each in wanted if each[0].id not in wait]


def _ways(wanted: Sequence[Stale], slots: Sequence[Row]) -> _Ways:
    """The slots that are now where each is to go."""
    ordered = sorted(slots, key=lambda slot: slot.starts_at)
    starts = [slot.starts_at for slot in ordered]

    def there(to: Opening) -> Iterable[Row]:
        first = bisect_left(starts, to.starts_at - _LONGEST_SLOT)
        near = ordered[first : bisect_left(starts, to.ends_at, first)]
        return (slot for slot in near if slot.ends_at > to.starts_at)

    return {slot.id: [other.id for other in there(to) if other.id != slot.id] for slot, to in wanted}


def _with_those_behind(first: Iterable[UUID], ways: _Ways) -> set[UUID]:
    behind = defaultdict(list)
    for id_, way in ways.items():
        for other in way:
            behind[other].append(id_)
    found = set(first)
    to_see = list(found)
    while to_see:
        new = [id_ for id_ in behind[to_see.pop()] if id_ not in found]
        found.update(new)
        to_see += new
    return found
