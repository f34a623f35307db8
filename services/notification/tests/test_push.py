"""Pushes by FCM and Web Push: what devices show, which are removed, and who is reached again."""

import asyncio
import contextlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from petpro_common.ids import new_id
from petpro_common.testing import logged
from services.notification.tests.conftest import World
from services.notification.tests.pushing import Around, around_pushes

TITLE = "Your booking is confirmed"
BODY = (
    "Your appointment is booked for Tuesday, 1 December 2026 at 09:30. You paid IDR 150,000. "
    "At the desk, please show your reference code: PP-7KQ2MX9D."
)


@pytest.fixture
async def around(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Around]:
    async with around_pushes(world, monkeypatch, tmp_path) as made:
        yield made


async def test_every_device_shows_title_content_and_ids(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    with logged() as lines:
        await around.pushes.deliver_due()
    [row] = await around.world.rows("SELECT id, booking_id FROM notifications")
    data = {"type": "booking_confirmed", "notification_id": str(row.id), "booking_id": str(row.booking_id)}
    [message] = around.fcm.messages
    assert message["notification"] == {"title": TITLE, "body": BODY}
    assert message["data"] == data
    assert message["android"]["notification"] == {"tag": str(row.id)}
    assert "collapse_key" not in message["android"]
    assert 43000 < int(message["android"]["ttl"].removesuffix("s")) <= 43200
    assert message["apns"]["headers"]["apns-collapse-id"] == str(row.id)
    assert around.server.shown == [
        {"browser": "laptop", "title": TITLE, "body": BODY, "tag": str(row.id), "data": data}
    ]
    [asked] = around.server.asked
    assert asked["Topic"] == urlsafe_b64encode(row.id.bytes).decode().rstrip("=")
    assert len(asked["Topic"]) <= 32
    assert 43000 < int(asked["TTL"]) <= 43200
    assert await around.standing() == ("sent", None)
    assert "Siti" not in str(lines)
    assert around.fcm.access[0] not in str(lines)


async def test_a_long_text_is_cut(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    long = "UPDATE notifications SET title = repeat('猫', 255), content = repeat('🐾', 900) RETURNING id"
    await around.world.rows(long)
    await around.pushes.deliver_due()
    assert len(around.fcm.messages[0]["notification"]["body"]) == 200
    assert around.told == ["laptop", "phone"]


async def test_who_has_no_device_is_sent_nothing(around: Around) -> None:
    await around.siti()
    await around.pushes.deliver_due()
    assert await around.standing() == ("suppressed", "no device")


async def test_nobody_hears_on_the_device_of_another(around: Around) -> None:
    await around.phone(new_id(), "another's")
    await around.siti("phone")
    await around.pushes.deliver_due()
    assert around.told == ["phone"]


@pytest.mark.parametrize("status", [404, 410])
async def test_devices_that_are_gone_are_removed_and_others_are_told(around: Around, status: int) -> None:
    around.fcm.says = {"old": "UNREGISTERED"}
    around.server.says = {"closed": status}
    await around.siti("phone", "old", browsers=("laptop", "closed"))
    await around.pushes.deliver_due()
    assert around.told == ["laptop", "phone"]
    assert await around.left() == {"laptop", "phone"}
    assert await around.standing() == ("sent", None)


async def test_when_all_devices_are_gone_there_is_nobody_to_push_to(around: Around) -> None:
    around.fcm.says = {"old": "UNREGISTERED"}
    await around.siti("old")
    await around.pushes.deliver_due()
    assert await around.left() == set()
    assert await around.standing() == ("suppressed", "no device")


async def test_who_has_taken_it_is_not_told_again_for_the_sake_of_another(around: Around) -> None:
    around.server.says = {"laptop": 503}
    await around.siti("phone", browsers=("laptop",))
    await around.pushes.deliver_due()
    assert await around.standing() == ("pending", "status 503")
    await around.try_again()
    assert (around.told, len(around.server.asked)) == (["phone"], 2)
    around.server.says = {}
    await around.try_again()
    assert (around.told, await around.standing()) == (["laptop", "phone"], ("sent", None))


async def test_it_is_sent_when_those_that_are_left_have_gone(around: Around) -> None:
    around.server.says = {"laptop": 503}
    await around.siti("phone", browsers=("laptop",))
    await around.pushes.deliver_due()
    around.server.says = {"laptop": 410}
    await around.try_again()
    assert (around.told, await around.standing()) == (["phone"], ("sent", None))
    assert await around.left() == {"phone"}


async def test_a_crash_between_sending_and_recording_replaces_what_is_shown(around: Around) -> None:
    await around.siti("phone")
    around.fcm.holds_its_answer = True
    dying = asyncio.create_task(around.pushes.deliver_due())
    await around.fcm.arrived.wait()
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    assert await around.standing() == ("pending", None)
    assert await around.pushes.deliver_due() == 0, "the dead worker's lease still stands"
    around.fcm.holds_its_answer = False
    await around.try_again()
    first, second = around.fcm.messages
    assert first["android"]["notification"]["tag"] == second["android"]["notification"]["tag"]
    assert first["apns"]["headers"]["apns-collapse-id"] == second["apns"]["headers"]["apns-collapse-id"]
    assert await around.standing() == ("sent", None)


async def test_one_access_token_serves_until_it_is_not_taken(around: Around) -> None:
    await around.siti("phone", "tablet")
    await around.pushes.deliver_due()
    assert (around.told, len(around.fcm.access)) == (["phone", "tablet"], 1)
    around.fcm.forgotten = {around.fcm.access[0]}
    await around.siti("other")
    await around.pushes.deliver_due()
    await around.try_again()
    assert (around.told, len(around.fcm.access)) == (["other", "phone", "tablet"], 2)


async def test_who_sends_to_apps_alone_leaves_browsers_alone(around: Around) -> None:
    await around.siti("phone", browsers=("laptop",))
    await (await around.open_again(web_push=False)).deliver_due()
    assert (around.told, await around.standing()) == (["phone"], ("sent", None))
