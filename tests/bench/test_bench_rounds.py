"""Contestants take turns, and a machine that stood still for one round does not cost the others theirs."""

from collections.abc import Iterator

import pytest

from bench.rounds import Contestant, alternate
from bench.section import RATE, Figures, NothingEnded

pytestmark = pytest.mark.unit

SLOW, FAST = {RATE: 1.0}, {RATE: 2.0}


def contestant(what: str, rounds: Iterator[Figures | None]) -> Contestant:
    """One whose rounds give these figures; None: nothing ended."""

    async def once() -> Figures:
        if (figures := next(rounds)) is None:
            raise NothingEnded
        return figures

    return Contestant(what, "1 caller", once)


async def test_a_round_in_which_nothing_ended_is_measured_once_more() -> None:
    one, other = contestant("one", iter([SLOW, None, FAST])), contestant("other", iter([FAST, SLOW]))
    rows = await alternate([one, other], rounds=2)
    assert [row.rounds for row in rows] == [[SLOW, FAST], [FAST, SLOW]]


async def test_nothing_twice_ends_the_run() -> None:
    with pytest.raises(NothingEnded):
        await alternate([contestant("one", iter([None, None, FAST]))], rounds=1)
