"""With big tables, no statement reads more than it needs: neither a table nor an index from end to end.

Statements are planned once and kept, so it matters when. What people do is held to it by three kinds of plans: made
while all was known to be empty; made when there was much, but nothing waited (partial indexes were empty); and made on
what there is. What they look up is held to the last. PostgreSQL looks at the tables when this test says so, never by
itself.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

import pytest

from devstack.running import RunningStack
from devstack.testing import StartStack
from tests.scale.filling import WAITING, fill, fill_up, vacuum
from tests.scale.readings import Reading, Watch
from tests.scale.ways import live_a_day, look_around
from tests.world import World, open_world

QUICK = {
    "booking": {
        "PETPRO_BOOKING_EXPIRY_CHECK_SECONDS": "0.2",
        "PETPRO_BOOKING_REMINDER_CHECK_SECONDS": "0.5",
        "PETPRO_BOOKING_HOLD_MOST_PER_PERSON": "100",  # much waits of one person
    }
}
MOST_ROWS = 250
BLOCKS_A_LOOK, BLOCKS_A_ROW = 20, 5
"""To find a row takes three or four; only in a tree of places one looks around a little."""
EMPTIED, MOST_WENT = "outbox.idx_outbox_unpublished", 100
"""Each message passes through this index in a moment; its place there is looked at once more, after it went."""
OF_WHAT_WAITS = re.compile(
    r"count\(\*\) AS (messages|deliveries|sagas|found|waiting)\b"
    r"|FROM sagas WHERE status IN \('running'|FROM refunds WHERE refunds.status = 'manual'"
)
"""Metrics count what waits every few seconds, and operators ask for it: they may read it once, by a partial index."""


@pytest.fixture(scope="module")
def quick_stack(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack(env=QUICK)


@pytest.fixture
async def world(quick_stack: RunningStack) -> AsyncIterator[World]:
    async with open_world(quick_stack) as opened:
        yield opened


def check(watch: Watch, planned: str, what: Callable[[Reading], bool]) -> None:
    """Nothing that was seen has read more than it needs."""
    found = {(one.statement, one.of): str(one) for one in watch.readings() if what(one)}
    assert not found, "\n".join([f"Planned {planned}:", *sorted(found.values())])


def reads_too_many_rows(one: Reading) -> bool:
    return one.rows > MOST_ROWS + (WAITING if OF_WHAT_WAITS.search(one.statement) else 0)


def reads_too_much(one: Reading) -> bool:
    went = MOST_WENT if one.of == EMPTIED else 0
    return reads_too_many_rows(one) or one.blocks > BLOCKS_A_LOOK * one.looks + BLOCKS_A_ROW * one.rows + went


async def test_no_statement_reads_more_than_it_needs(quick_stack: RunningStack, world: World) -> None:
    vacuum(quick_stack)
    watch = Watch(quick_stack)
    clinic, regular = await asyncio.gather(world.clinic(capacity=9), world.customer())
    await live_a_day(world, clinic, regular)
    fill(quick_stack, clinic, regular)
    watch.forget()
    await live_a_day(world, clinic, regular)
    # By which of two indexes it finds one row is the same to PostgreSQL as long as there are none.
    check(watch, "while all was empty", reads_too_many_rows)

    vacuum(quick_stack)
    await live_a_day(world, clinic, regular)
    fill_up(quick_stack, clinic, regular)
    watch.forget()
    await live_a_day(world, clinic, regular)
    check(watch, "while nothing waited", reads_too_much)

    vacuum(quick_stack)
    watch.forget()
    new, booking = await live_a_day(world, clinic, regular)
    await look_around(world, clinic, regular, booking)
    await look_around(world, clinic, new, booking)
    check(watch, "on what there is", reads_too_much)

    await world.rows("account", "SET enable_seqscan = off")
    await world.rows("account", "SELECT count(*) FROM pets")
    with pytest.raises(AssertionError, match="account reads 5"):
        check(watch, "to read them all", reads_too_much)
