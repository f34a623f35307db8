"""What the survival of an engine is counted as: by played engines that lose, double, or do neither."""

from collections.abc import Sequence

import pytest

from bench.peers import survival

pytestmark = pytest.mark.unit


class Played:
    """An engine that ends every saga at once, but for `loses` of them, and does `twice` effects too many."""

    def __init__(self, loses: int = 0, twice: int = 0) -> None:
        self._loses = loses
        self._twice = twice
        self._begun: set[int] = set()
        self._is_down = False

    async def begin(self, numbers: Sequence[int]) -> None:
        if self._is_down:
            raise ConnectionResetError
        self._begun.update(numbers)

    async def kill(self) -> None:
        self._is_down = True

    async def start(self) -> None:
        self._is_down = False

    async def ended(self) -> int:
        return len(self._begun) - self._loses if self._begun else 0

    async def done_twice(self) -> int:
        return self._twice


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survival, "_SECONDS_TO_LIVE", (0.0, 0.01))
    monkeypatch.setattr(survival, "_QUIET_SECONDS", 0.3)


async def test_an_engine_that_keeps_its_word_loses_nothing() -> None:
    found = await survival.trial(Played())
    assert found["begun"] > 0
    assert (found["kills"], found["ended %"], found["lost"], found["done twice"]) == (survival.KILLS, 100, 0, 0)


async def test_what_never_ends_is_lost() -> None:
    assert (await survival.trial(Played(loses=3)))["lost"] == 3


async def test_what_was_done_too_often_is_said() -> None:
    assert (await survival.trial(Played(twice=2)))["done twice"] == 2
