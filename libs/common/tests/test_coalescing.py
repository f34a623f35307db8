"""Calls that share a transaction: who waits, who goes with whom, and who hears of whose fault."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from petpro_common.coalescing import Coalescer
from petpro_common.errors import NotFound, Overloaded, PetProError, Unavailable

pytestmark = pytest.mark.unit


@dataclass
class Kitchen:
    """Carries out what is ordered, a batch at a time; opens when it is told to."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    is_thawed: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[str]] = field(default_factory=list)

    async def cook(self, orders: Sequence[str]) -> list[str | PetProError]:
        self.batches.append(list(orders))
        await self.is_open.wait()
        if any(order.startswith("frozen") for order in orders):
            if len(orders) > 1:
                raise RuntimeError("somebody has it")
            await self.is_thawed.wait()
        if "burnt" in orders:
            raise RuntimeError("fire")
        if "closed" in orders:
            raise Overloaded
        if "evicted" in orders:
            raise asyncio.CancelledError
        return [NotFound() if order == "unknown" else order.upper() for order in orders]


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture
def counter(kitchen: Kitchen) -> Coalescer[str, str]:
    return Coalescer(kitchen.cook, lambda order: order if order.startswith("same") else None, batch=4)


async def order(counter: Coalescer[str, str], *orders: str) -> "asyncio.Future[list[str | BaseException]]":
    """Orders that have all reached the counter."""
    served = asyncio.gather(*(counter.do(wish) for wish in orders), return_exceptions=True)
    await asyncio.sleep(0.01)
    return served


async def test_a_call_that_comes_alone_goes_at_once(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    kitchen.is_open.set()
    assert await counter.do("tea") == "TEA"
    assert kitchen.batches == [["tea"]]


async def test_what_comes_meanwhile_goes_together(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    first = await order(counter, "a")
    later = await order(counter, "b", "c", "d", "e", "f")
    kitchen.is_open.set()
    assert await first + await later == ["A", "B", "C", "D", "E", "F"]
    assert kitchen.batches == [["a"], ["b", "c", "d", "e"], ["f"]]


async def test_each_gets_its_own_outcome(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    kitchen.is_open.set()
    tea, unknown, cake = await (await order(counter, "tea", "unknown", "cake"))
    assert (tea, cake) == ("TEA", "CAKE")
    assert isinstance(unknown, NotFound)


async def test_when_a_batch_fails_each_is_tried_by_itself(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    kitchen.is_open.set()
    tea, burnt, cake = await (await order(counter, "tea", "burnt", "cake"))
    assert (tea, cake) == ("TEA", "CAKE")
    assert isinstance(burnt, RuntimeError)


async def test_a_typed_refusal_of_a_batch_is_told_to_all(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    kitchen.is_open.set()
    served = await (await order(counter, "tea", "closed"))
    assert [type(outcome) for outcome in served] == [Overloaded, Overloaded]
    assert kitchen.batches == [["tea", "closed"]]


async def test_wishes_of_one_key_are_not_in_one_batch(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    kitchen.is_open.set()
    assert await (await order(counter, "same", "a", "same", "b", "same")) == ["SAME", "A", "SAME", "B", "SAME"]
    assert kitchen.batches == [["same", "a", "b"], ["same"], ["same"]]


async def test_who_goes_away_while_waiting_is_not_served(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    first = await order(counter, "a")
    gone, stays = asyncio.create_task(counter.do("b")), asyncio.create_task(counter.do("c"))
    await asyncio.sleep(0.01)
    gone.cancel()
    kitchen.is_open.set()
    assert (await first, await stays) == (["A"], "C")
    assert kitchen.batches == [["a"], ["c"]]


async def test_who_gives_up_while_a_batch_hangs_is_not_kept(kitchen: Kitchen, counter: Coalescer[str, str]) -> None:
    first = await order(counter, "a")
    for _ in range(3):
        (await order(counter, "b", "c")).cancel()
    stays = await order(counter, "d")
    assert list(counter._waiting.values()) == ["d"]
    kitchen.is_open.set()
    assert (await first, await stays) == (["A"], ["D"])


async def test_when_the_work_is_cancelled_from_within_nobody_waits_for_ever(
    kitchen: Kitchen, counter: Coalescer[str, str]
) -> None:
    first = await order(counter, "evicted")
    later = await order(counter, "tea", "cake")
    kitchen.is_open.set()
    async with asyncio.timeout(60):
        assert [type(outcome) for outcome in await first + await later] == [Unavailable] * 3
    assert await counter.do("tea") == "TEA"


async def test_what_is_kept_from_its_row_keeps_only_those_who_need_it(kitchen: Kitchen) -> None:
    counter = Coalescer(kitchen.cook, lambda _: None, batch=4, about_of=lambda order: order.split()[0])
    kitchen.is_open.set()
    stuck = [asyncio.create_task(counter.do(f"frozen {name}")) for name in "ab"]
    assert await (await order(counter, "tea a", "tea b")) == ["TEA A", "TEA B"]
    stuck.append(asyncio.create_task(counter.do("frozen c")))
    assert await (await order(counter, "tea c", "cake")) == ["TEA C", "CAKE"]
    kitchen.is_thawed.set()
    assert await asyncio.gather(*stuck) == ["FROZEN A", "FROZEN B", "FROZEN C"]


async def test_who_has_gone_is_not_served_when_a_batch_is_taken_apart(kitchen: Kitchen) -> None:
    counter = Coalescer(kitchen.cook, lambda _: None, batch=4, about_of=lambda order: order.split()[0])
    kitchen.is_open.set()
    stuck = [asyncio.create_task(counter.do(f"frozen {name}")) for name in "abc"]
    tea = asyncio.create_task(counter.do("tea"))
    assert await tea == "TEA"
    later = asyncio.create_task(counter.do("frozen d"))
    await asyncio.sleep(0.01)
    for gone in stuck[1:]:
        gone.cancel()
    await asyncio.sleep(0)
    kitchen.is_thawed.set()
    assert (await stuck[0], await later) == ("FROZEN A", "FROZEN D")
    assert kitchen.batches == [
        ["frozen a", "frozen b", "frozen c", "tea"],
        ["frozen a", "frozen b", "frozen c"],
        ["frozen a"],
        ["tea"],
        ["frozen d"],
    ]
