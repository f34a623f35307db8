"""What a look finds is new once, in whatever order transactions commit, whenever somebody looks."""

from dataclasses import dataclass
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petpro_notification.following import SLACK, Place, beginning, follow

pytestmark = pytest.mark.unit

FAR = SLACK + 1


@dataclass(frozen=True)
class Row:
    id: UUID
    told_in: int


@dataclass
class Server:
    """As PostgreSQL counts: transactions have numbers from when they write, and are seen once they have committed."""

    begun: list[Row]
    ended: list[Row]

    @property
    def horizon(self) -> int:
        at_work = [each.told_in for each in self.begun if each not in self.ended]
        return min(at_work, default=FAR * (len(self.begun) + 1))

    def look(self, place: Place) -> list[Row]:
        return [each for each in self.ended if each.told_in >= place.begins]


@given(st.lists(st.sampled_from(["begin", "commit", "look"]), max_size=60), st.randoms(use_true_random=False))
def test_each_is_new_to_exactly_one_look(steps: list[str], luck: object) -> None:
    server = Server([], [])
    place, new = beginning(server.horizon), list[Row]()

    def look() -> None:
        nonlocal place
        place, found = follow(place, server.look(place), server.horizon)
        new.extend(found)

    for step in steps:
        at_work = [each for each in server.begun if each not in server.ended]
        if step == "begin":
            number = FAR * (len(server.begun) + 1)
            server.begun.append(Row(UUID(int=number), number))
        elif step == "commit" and at_work:
            server.ended.append(luck.choice(at_work))  # type: ignore[attr-defined]  # it is a random.Random
        elif step == "look":
            look()
    look()
    assert sorted(each.told_in for each in new) == sorted(each.told_in for each in server.ended)


def test_what_is_decided_is_not_looked_at_again_nor_remembered() -> None:
    early, late = Row(UUID(int=1), 100_000), Row(UUID(int=2), 200_000)
    place, _ = follow(beginning(90_000), [early], 150_000)
    assert (place.begins, place.known) == (150_000 - SLACK, {})
    place, new = follow(place, [late], 200_001)
    assert (new, place.known) == ([late], {late.id: late.told_in})


def test_a_server_that_counts_again_from_a_little_before_says_nothing_twice() -> None:
    first, again = Row(UUID(int=1), 50_000), Row(UUID(int=2), 50_000 - SLACK // 2)
    place, _ = follow(beginning(40_000), [first], 50_001)
    place, new = follow(place, [first, again], 50_001 - SLACK // 2)
    assert new == [again]
    assert follow(place, [first, again], 60_000)[1] == []
