"""What this process has told it brings to people itself, claimed as it is written; whoever dies leaves it to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import OperationalError

from petpro_common import tasks
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from petpro_notification import messages, notifications
from petpro_notification.wording import Wording
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.stepped import SteppedDeliveries

AT_ONCE, HANDED_OVER = 16, 64


@asynccontextmanager
async def running(world: World, **settings: Any) -> AsyncIterator[SteppedDeliveries]:
    """A worker that finds nothing by looking."""
    deliveries = world.deliveries(**{"delivery_poll_seconds": 3600, **settings})
    work = asyncio.create_task(deliveries.run())
    await eventually(lambda: deliveries.room > 0)
    try:
        yield deliveries
    finally:
        await tasks.end([work])


def bookings_of_siti(world: World, count: int) -> list[tuple[str, dict[str, Any]]]:
    siti = new_id()
    world.account.add(siti, "siti@example.com", "Siti Aminah")
    return [("booking.confirmed", confirmed(siti, new_id())) for _ in range(count)]


async def standing(world: World) -> list[tuple[str, int]]:
    return [
        (row.status, row.tries)
        for row in await world.rows("SELECT status, tries FROM deliveries ORDER BY tries, status")
    ]


async def test_what_was_just_told_leaves_without_being_looked_for(world: World) -> None:
    async def is_sent() -> bool:
        return await standing(world) == [("sent", 1)] * 3

    async with world.mail.up(), running(world) as deliveries:
        await world.tell_all(*bookings_of_siti(world, 3), courier=deliveries)
        await eventually(is_sent)
    assert len({mail["Message-ID"] for mail in world.mail.mails}) == len(world.mail.mails) == 3
    assert len(world.account.asked) == 1


async def test_what_is_told_within_a_moment_leaves_together(world: World) -> None:
    async def all_have_left() -> bool:
        return len(world.mail.mails) == 3

    async with world.mail.up(), running(world, delivery_gather_seconds=3) as deliveries:
        for event in bookings_of_siti(world, 3):
            await world.tell_all(event, courier=deliveries)
        await eventually(all_have_left)
    assert len(world.account.asked) == 1


async def test_of_more_than_there_is_room_for_the_rest_is_due_at_once(world: World) -> None:
    async def as_many_as_may_are_tried() -> bool:
        return len(world.mail.mails) == AT_ONCE

    world.mail.holds_its_answer = True
    async with world.mail.up(), running(world) as deliveries:
        await world.tell_all(*bookings_of_siti(world, HANDED_OVER + 1), courier=deliveries)
        await eventually(as_many_as_may_are_tried)
        assert await standing(world) == [("pending", 1)] * (HANDED_OVER + 1), "what is due is tried beside the rest"
        assert deliveries.room == AT_ONCE - 1


async def test_what_waits_too_long_for_its_try_is_left_to_its_lease(world: World) -> None:
    async def all_are_given_up() -> bool:
        return deliveries.room == HANDED_OVER and len(await world.rows("SELECT FROM deliveries WHERE reason > ''")) > 0

    world.mail.holds_its_answer = True
    async with world.mail.up(), running(world, delivery_lease_seconds=6, delivery_try_seconds=4) as deliveries:
        await world.tell_all(*bookings_of_siti(world, AT_ONCE + 1), courier=deliveries)
        await eventually(all_are_given_up)
    assert len(await world.rows("SELECT FROM deliveries WHERE reason IS NULL AND tries = 1")) == 1
    assert len(world.mail.mails) == AT_ONCE


async def test_nothing_leaves_of_what_was_rolled_back(world: World) -> None:
    async def tell_in_vain(deliveries: SteppedDeliveries) -> None:
        async with world.database.transaction() as tx:
            news = [messages.notification_request(*event) for event in bookings_of_siti(world, 1)]
            await notifications.tell(tx, Wording("en"), news, [deliveries])
            raise ValueError("in vain")

    async with world.mail.up(), running(world) as deliveries:
        with pytest.raises(ValueError, match="in vain"):
            await tell_in_vain(deliveries)
        assert deliveries.room == HANDED_OVER
    assert not world.mail.mails
    assert await standing(world) == []


async def test_who_dies_with_mails_in_hand_leaves_them_to_others_after_the_lease(world: World) -> None:
    world.mail.holds_its_answer = True
    async with world.mail.up():
        async with running(world) as deliveries:
            await world.tell_all(*bookings_of_siti(world, 1), courier=deliveries)
            await world.mail.arrived.wait()
        world.mail.holds_its_answer = False
        other = world.deliveries()
        assert await other.deliver_due() == 0, "the dead worker's lease still stands"
        await world.make_due()
        assert await other.deliver_due() == 1
    first, second = world.mail.mails
    assert {name: first[name] for name in first} == {name: second[name] for name in second}
    assert first.as_bytes() == second.as_bytes()
    assert await standing(world) == [("sent", 2)]


async def test_who_does_not_run_takes_nothing(world: World) -> None:
    async with running(world) as ended:
        pass
    await world.tell_all(*bookings_of_siti(world, 1), courier=ended)
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 1


async def test_who_is_told_to_stop_ends_its_tries_and_gives_back_what_it_has_not_begun(world: World) -> None:
    async def as_many_as_may_are_tried() -> bool:
        return len(world.mail.mails) == AT_ONCE

    world.mail.holds_its_answer = True
    deliveries = world.deliveries(delivery_poll_seconds=3600)
    work = asyncio.create_task(deliveries.run())
    await eventually(lambda: deliveries.room > 0)
    async with world.mail.up():
        await world.tell_all(*bookings_of_siti(world, HANDED_OVER), courier=deliveries)
        await eventually(as_many_as_may_are_tried)
        deliveries.drain()
        await asyncio.sleep(0.3)
        assert not work.done()
        world.mail.may_answer.set()
        await work
        assert (len(world.mail.mails), deliveries.room) == (AT_ONCE, 0)
        due = "SELECT count(*) FROM deliveries WHERE status = 'pending' AND tries = 0 AND due_at <= now()"
        assert (await world.rows(due))[0].count == HANDED_OVER - AT_ONCE
        others = world.deliveries()
        while await others.deliver_due():
            pass
    assert await standing(world) == [("sent", 1)] * HANDED_OVER
    assert len({mail["Message-ID"] for mail in world.mail.mails}) == len(world.mail.mails) == HANDED_OVER


async def test_who_is_told_to_stop_while_it_claims_gives_back_what_it_gets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim commits, and begins no try."""
    deliveries = world.deliveries()
    claim = deliveries._claim

    async def claim_slowly(most: int) -> Any:
        claimed = await claim(most)
        deliveries.drain()
        return claimed

    monkeypatch.setattr(deliveries, "_claim", claim_slowly)
    await world.tell_all(*bookings_of_siti(world, 3))
    async with world.mail.up(), asyncio.timeout(30):
        await deliveries.run()
    assert not world.mail.mails
    assert await standing(world) == [("pending", 0)] * 3


async def test_what_another_has_claimed_since_is_not_given_back(world: World) -> None:
    """Or a third would try it beside them."""
    await world.tell_all(*bookings_of_siti(world, 3))
    stopping, other = world.deliveries(), world.deliveries()
    stopping.take(await stopping._claim(3))
    await world.make_due()
    assert len(await other._claim(3)) == 3
    assert await stopping._give_back() == 3
    assert await standing(world) == [("pending", 2)] * 3
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 0


async def test_one_outcome_that_cannot_be_written_leaves_no_other_try_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = world.deliveries()
    record, failed = deliveries._record, asyncio.Event()

    async def fail_first(due: Any, outcome: Any) -> None:
        if failed.is_set():
            await asyncio.sleep(0.2)
            await record(due, outcome)
            return
        failed.set()
        raise OperationalError("the server is away")

    monkeypatch.setattr(deliveries, "_record", fail_first)
    await world.tell_all(*bookings_of_siti(world, 3))
    async with world.mail.up():
        with pytest.raises(OperationalError):
            await deliveries.deliver_due()
    assert await standing(world) == [("pending", 1), ("sent", 1), ("sent", 1)]
