"""Load that comes by the clock."""

import asyncio
import time
from dataclasses import dataclass

import pytest

from bench.load import WARM_UP_SECONDS, Operation, Plan, run_client
from bench.session import Session

pytestmark = pytest.mark.unit

ARRIVALS, SECONDS = 1500.0, 2.0


@dataclass(frozen=True)
class Doubt:
    """Every other call is refused, after a while that is longer than the time between two."""

    def share(self, number: int, of: int) -> "Doubt":
        return self

    def start(self, session: Session) -> Operation:
        asked = 0

        async def once() -> bytes:
            nonlocal asked
            asked += 1
            refuse = asked % 2
            await asyncio.sleep(0.02)
            if refuse:
                raise RuntimeError("refused")
            return b""

        return once


def test_arrivals_wait_for_nobody_and_their_client_does_not_spin_between_them() -> None:
    begin = time.monotonic() + WARM_UP_SECONDS
    outcome = run_client(Plan(Doubt(), 1, begin, begin + SECONDS, ARRIVALS))
    assert len(outcome.taken) + outcome.refused == pytest.approx(ARRIVALS * SECONDS, rel=0.3)
    assert outcome.refused == pytest.approx(len(outcome.taken), abs=2)
    assert min(outcome.taken) >= 19
    assert outcome.cpu_seconds < 0.5 * SECONDS
