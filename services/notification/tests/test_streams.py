"""What people are told, as it happens: wherever it was written, in whatever order it committed."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from petpro.notification.v1 import notification_pb2 as pb
from petpro_common.db import Row
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from petpro_notification import notifications, streams
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.replicas import Api, Replica, add, listen, listening, replica

SITI, BUDI = new_id(), new_id()
_END_LISTENERS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN notifications_told'
""")


def codes(heard: list[pb.Notification]) -> list[str]:
    return [each.content.rsplit(" ", 1)[1].rstrip(".") for each in heard]


async def page_one(world: World, api: Api, user_id: UUID) -> list[pb.Notification]:
    metadata = (("authorization", f"Bearer {world.keys.person(user_id)}"),)
    request = pb.ListNotificationsRequest(page_size=100)
    return list((await api.ListNotifications(request, metadata=metadata)).notifications)


def newest(listed: list[pb.Notification]) -> str:
    """What a client names that has this page."""
    return listed[0].id if listed else str(notifications.NONE_YET)


async def test_what_any_replica_writes_is_heard_at_each_and_by_nobody_else(world: World) -> None:
    async with replica(world) as here, replica(world) as there:
        siti_here, siti_there = [await listening(world, each.api, SITI) for each in (here, there)]
        budi = await listening(world, there.api, BUDI)
        await here.tell(SITI, "PP-1")
        await siti_here.until(1)
        await there.tell(SITI, "PP-2")
        await there.tell(BUDI, "PP-3")
        for client in (siti_here, siti_there):
            await client.until(2)
            assert codes(client.heard) == ["PP-1", "PP-2"]
        await budi.until(1)
        assert codes(budi.heard) == ["PP-3"]


async def test_who_names_nothing_hears_only_what_is_told_from_now_on(world: World) -> None:
    async with replica(world) as here:
        await here.tell(SITI, "PP-1")
        first = await listening(world, here.api, SITI)
        await here.tell(SITI, "PP-2")
        await first.until(1)
        second = await listening(world, here.api, SITI)
        await here.tell(SITI, "PP-3")
        await first.until(2)
        await second.until(1)
        assert (codes(first.heard), codes(second.heard)) == (["PP-2", "PP-3"], ["PP-3"])


async def test_what_was_written_first_and_commits_last_is_heard_too(world: World) -> None:
    async with replica(world) as here:
        siti = await listening(world, here.api, SITI)
        async with here.database.transaction() as slow:
            await add(slow, SITI, "PP-1")
            await slow.execute(text("SELECT 1"))  # it is written, and has its number
            await here.tell(SITI, "PP-2")
            await siti.until(1)
            last = siti.heard[-1].id
            siti.call.cancel()
            again = await listening(world, here.api, SITI, last)
        await again.until(1)
        assert (codes(siti.heard), codes(again.heard)) == (["PP-2"], ["PP-1"])


async def test_what_commits_between_two_streams_comes_though_it_is_older_than_the_last_one(world: World) -> None:
    async with replica(world) as here:
        async with here.database.transaction() as slow:
            await add(slow, SITI, "PP-1")
            await slow.execute(text("SELECT 1"))
            await here.tell(SITI, "PP-2")
            last = newest(await page_one(world, here.api, SITI))
        siti = await listening(world, here.api, SITI, last)
        assert codes(siti.heard) == ["PP-1"]


@pytest.mark.parametrize("is_empty", [True, False])
async def test_page_one_and_then_the_stream_miss_nothing_while_others_write(world: World, is_empty: bool) -> None:
    async with replica(world) as here, replica(world) as there:
        if not is_empty:
            await here.tell(SITI, "PP-before")

        async def write(at: Replica, number: int) -> None:
            for turn in range(15):
                await at.tell(SITI, f"PP-{number}-{turn}")

        writing = asyncio.gather(*(write(at, number) for number, at in enumerate((here, there) * 2)))
        await asyncio.sleep(0)
        clients = []
        for at in (here, there) * 3:
            listed = await page_one(world, at.api, SITI)
            clients.append((listed, listen(world, at.api, SITI, newest(listed))))
        await writing
        rows = {str(row.id) for row in await world.rows("SELECT id FROM notifications")}
        for listed, client in clients:
            known = {each.id for each in listed}
            async with asyncio.timeout(60):
                while known | set(client.ids) != rows:
                    assert await client.hear()
            assert len(set(client.ids)) == len(client.ids)


async def test_what_was_missed_comes_first_as_it_was_told_and_only_so_much(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(world) as here:
        await here.tell(SITI, "PP-0")
        first = newest(await page_one(world, here.api, SITI))
        for number in range(1, 4):
            await here.tell(SITI, f"PP-{number}")
        siti = await listening(world, here.api, SITI, first)
        assert codes(siti.heard) == ["PP-1", "PP-2", "PP-3"]
        monkeypatch.setattr("petpro_notification.servicer_streams.MOST_UNSAID", 2)
        late = listen(world, here.api, SITI, first)
        assert (await late.until_end(), late.heard) == ("TOO_MUCH_MISSED", [])
        assert await listen(world, here.api, SITI, str(notifications.NONE_YET)).until_end() == "TOO_MUCH_MISSED"


async def test_what_was_told_while_nobody_could_hear_notices_comes_when_they_are_heard_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr("petpro_common.notices._RETRY_SECONDS", 1.0)
    async with replica(world) as here, replica(world) as there:
        siti = await listening(world, here.api, SITI)
        async with world.database.transaction() as tx:
            assert len((await tx.execute(_END_LISTENERS)).all()) == 2
        await there.tell(SITI, "PP-1")  # its notice is for nobody
        await siti.until(1)


async def test_what_a_process_told_that_died_before_its_notice_is_found_by_looking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 0.1)
    async with replica(world) as here:
        siti = await listening(world, here.api, SITI)
        await world.tell("booking.confirmed", **confirmed(SITI, new_id(), reference_code="PP-1"))  # nobody passes it on
        await siti.until(1)


async def test_one_look_finds_it_for_all_and_who_has_nobody_to_tell_does_not_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LOOK_SECONDS", 3600.0)
    async with replica(world, stream_most_per_person=40) as here, replica(world) as there:
        many = await asyncio.gather(*(listening(world, here.api, SITI) for _ in range(30)))
        others = await asyncio.gather(*(listening(world, there.api, new_id()) for _ in range(30)))
        agus_id = new_id()
        agus = await listening(world, there.api, agus_id)
        looks_here, looks_there = here.streams.looks, there.streams.looks
        await here.tell(SITI, "PP-1")
        await asyncio.gather(*(client.until(1) for client in many))
        await here.tell(BUDI, "PP-2")  # a second notice has come when a third has had its effect
        await here.tell(SITI, "PP-3")
        await asyncio.gather(*(client.until(2) for client in many))
        assert here.streams.looks - looks_here == 2
        await here.tell(agus_id, "PP-4")
        await agus.until(1)  # so the notices before have come here too
        assert there.streams.looks - looks_there == 1
        budi = await listening(world, there.api, BUDI)
        assert there.streams.looks - looks_there == 2, "for who has just come"
        assert not any(client.heard for client in (*others, budi))


async def test_who_reads_too_slowly_is_told_to_list(world: World) -> None:
    await world.tell("booking.confirmed", **confirmed(SITI, new_id()))
    row: Row = (await world.rows("SELECT * FROM notifications"))[0]
    stream = streams.Stream(SITI)
    for _ in range(streams.MOST_UNSAID + 1):
        stream.say(row)
    said = 0
    while await stream.next(0) is not None:
        said += 1
    assert said == streams.MOST_UNSAID
    assert stream.reason == pb.STREAM_END_REASON_TOO_MUCH_MISSED


async def test_a_database_that_goes_and_comes_back_loses_nothing(world: World) -> None:
    async with replica(world) as here:
        siti = await listening(world, here.api, SITI)
        async with world.database.transaction() as tx:
            await tx.execute(
                text("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )
        await eventually(lambda: _told(here, "PP-1"))
        await siti.until(1)


async def _told(at: Replica, code: str) -> bool:
    try:
        await at.tell(SITI, code)
    except Exception:  # noqa: BLE001  # a connection of the pool may be gone
        return False
    return True
