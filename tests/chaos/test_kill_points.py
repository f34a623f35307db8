"""A sample of the matrix that `make chaos` plays whole: parts that kill themselves at their points, in traffic."""

import pytest

from devstack.running import RunningStack
from tests.chaos.points import POINTS, Point
from tests.chaos.rounds import kill_round
from tests.chaos.traffic import VISITS

SAMPLE = (
    "booking: after publish petpro.commands.payment.reserve_refund",
    "payment: after call worker refund",
)


def _named(name: str) -> Point:
    return next(point for point in POINTS if point.name == name)


async def test_nothing_is_lost_doubled_or_stuck_when_parts_die_at_their_points(own_stack: RunningStack) -> None:
    lines, verdict = await kill_round(own_stack, [_named(name) for name in SAMPLE], kills=1)
    assert verdict.faults == []
    assert [(line.name, line.runs) for line in lines] == [(name, 1) for name in SAMPLE]
    assert verdict.sagas > 0


@pytest.mark.unit
def test_the_matrix_has_every_point_once_and_every_visit_exists() -> None:
    names = [point.name for point in POINTS]
    assert len(names) == len(set(names))
    assert len(names) >= 100
    assert {point.visit for point in POINTS} <= VISITS.keys()
