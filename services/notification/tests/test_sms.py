"""SMS by Twilio: what it is told, what its answers mean, and what a crash does."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from subprocess import run

import pytest
from pydantic import ValidationError

from devstack.ports import free_port
from petpro_common.ids import new_id
from petpro_common.testing import logged
from petpro_notification.senders.registry import opened
from petpro_notification.senders.sender import Sender
from petpro_notification.senders.twilio import TwilioSettings
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.fake_twilio import ACCOUNT, FROM, KEY, KEY_SID, FakeTwilio
from services.notification.tests.loopback import serving
from services.notification.tests.stepped import SteppedDeliveries

TOLD = {"ACCOUNT_SID": ACCOUNT, "KEY_SID": KEY_SID, "FROM": FROM}
NUMBER = "+628123456789"
NOT_OF_THE_NUMBER = [21408, 21606, 21608, 20003]
"""Countries that our account may not write to, senders that are not ours, a trial account, a wrong key."""


def tell(monkeypatch: pytest.MonkeyPatch, folder: Path, **told: str) -> None:
    """Settings in the environment, and the key in a file."""
    for name, value in told.items():
        monkeypatch.setenv(f"PETPRO_NOTIFICATION_TWILIO_{name}", value)
    (folder / "petpro_notification_twilio_key").write_text(f"{KEY}\n")
    monkeypatch.setenv("PETPRO_NOTIFICATION_SECRETS_DIR", str(folder))


@contextlib.asynccontextmanager
async def sms_sender(world: World) -> AsyncIterator[Sender]:
    async with opened(settings := world.settings.model_copy(update={"sms": "twilio"})) as outside:
        mails, sms = outside.senders(settings, world.database)
        assert (mails.channel, sms.channel) == ("email", "sms")
        yield sms


@pytest.fixture
async def twilio() -> FakeTwilio:
    return FakeTwilio()


@pytest.fixture
async def texts(
    world: World, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[SteppedDeliveries]:
    """The worker of a process that is told to send SMS."""
    async with serving(*twilio.routes()) as url:
        tell(monkeypatch, tmp_path, URL=url, **TOLD)
        async with sms_sender(world) as sender:
            yield world.deliveries(sender)


async def told_siti(world: World, texts: SteppedDeliveries, number: str = NUMBER) -> None:
    siti = new_id()
    world.account.add(siti, "siti@example.com", "Siti Aminah", wishes=["sms"], phone_number=number)
    await world.tell_by([texts], ("booking.confirmed", confirmed(siti, new_id())))


async def standing(world: World) -> tuple[str, str, str | None]:
    [row] = await world.rows("SELECT channel, status, reason FROM deliveries")
    return row.channel, row.status, row.reason


async def test_who_wants_sms_gets_one_on_their_number(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio
) -> None:
    await told_siti(world, texts)
    with logged() as lines:
        assert await texts.deliver_due() == 1
    assert twilio.taken == [
        {
            "To": NUMBER,
            "From": FROM,
            "Body": "PetPro: Your appointment is booked for Tuesday, 1 December 2026 at 09:30. You paid IDR 150,000. "
            "At the desk, please show your reference code: PP-7KQ2MX9D.",
            "ValidityPeriod": "14400",
        }
    ]
    assert await standing(world) == ("sms", "sent", None)
    assert NUMBER not in str(lines)
    assert KEY not in str(lines)


@pytest.mark.parametrize("code", [21211, 21265, 21610, 21614, 21635])
async def test_a_number_refused_for_good_is_not_tried_again(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio, code: int
) -> None:
    twilio.refuses = code
    await told_siti(world, texts)
    with logged() as lines:
        await texts.deliver_due()
    assert await standing(world) == ("sms", "failed", f"number refused: {code}")
    await world.make_due()
    assert await texts.deliver_due() == 0
    assert NUMBER not in str(lines)


@pytest.mark.parametrize("code", NOT_OF_THE_NUMBER)
async def test_what_is_refused_because_of_us_is_tried_again(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio, code: int
) -> None:
    twilio.refuses = code
    await told_siti(world, texts)
    await texts.deliver_due()
    assert await standing(world) == ("sms", "pending", f"status {401 if code == 20003 else 400}, code {code}")
    twilio.refuses = 0
    await world.make_due()
    await texts.deliver_due()
    assert await standing(world) == ("sms", "sent", None)


@pytest.mark.parametrize("status", [302, 429, 500, 503])
async def test_who_is_away_is_asked_again(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio, status: int
) -> None:
    twilio.status = status
    twilio.headers = {"Location": "/elsewhere"}
    await told_siti(world, texts)
    await texts.deliver_due()
    assert await standing(world) == ("sms", "pending", f"status {status}")
    twilio.status = 0
    await world.make_due()
    await texts.deliver_due()
    assert len(twilio.taken) == 1


async def pause(world: World) -> float:
    [row] = await world.rows("SELECT extract(epoch FROM due_at - clock_timestamp()) AS pause FROM deliveries")
    return float(row.pause)


@pytest.mark.parametrize("as_a_date", [False, True])
async def test_it_is_not_asked_before_it_says(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio, as_a_date: bool
) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    twilio.status, twilio.headers = 429, {"Retry-After": at if as_a_date else "600"}
    await told_siti(world, texts)
    await texts.deliver_due()
    assert 300 < await pause(world) <= 600


@pytest.mark.parametrize("after", ["soon", "-5", "99999999999"])
async def test_what_it_says_of_when_is_believed_within_limits(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio, after: str
) -> None:
    twilio.status, twilio.headers = 503, {"Retry-After": after}
    await told_siti(world, texts)
    await texts.deliver_due()
    assert await pause(world) <= 3600


async def test_who_has_no_number_gets_none(world: World, texts: SteppedDeliveries, twilio: FakeTwilio) -> None:
    await told_siti(world, texts, number="")
    await texts.deliver_due()
    assert (twilio.taken, await standing(world)) == ([], ("sms", "suppressed", "no phone number"))


async def test_a_crash_between_sending_and_recording_sends_it_twice(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio
) -> None:
    await told_siti(world, texts)
    twilio.holds_its_answer = True
    dying = asyncio.create_task(texts.deliver_due())
    await twilio.arrived.wait()
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    assert await standing(world) == ("sms", "pending", None)
    assert await texts.deliver_due() == 0, "the dead worker's lease still stands"
    twilio.holds_its_answer = False
    await world.make_due()
    assert await texts.deliver_due() == 1
    first, second = twilio.taken
    assert first == second
    assert await standing(world) == ("sms", "sent", None)


async def test_of_sms_whose_answers_get_lost_there_are_three_at_most(
    world: World, texts: SteppedDeliveries, twilio: FakeTwilio
) -> None:
    twilio.mute = True
    await told_siti(world, texts)
    for expected in ("pending", "pending", "failed"):
        await world.make_due()
        await texts.deliver_due()
        assert (await standing(world))[1] == expected
    assert (len(twilio.taken), await standing(world)) == (3, ("sms", "failed", "answer lost"))


async def test_who_cannot_be_reached_has_sent_nothing_and_is_asked_on(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tell(monkeypatch, tmp_path, URL=f"http://127.0.0.1:{free_port()}", **TOLD)
    async with sms_sender(world) as sender:
        await told_siti(world, texts := world.deliveries(sender))
        for _ in range(4):
            await world.make_due()
            await texts.deliver_due()
    assert await standing(world) == ("sms", "pending", "ClientConnectorError")


async def test_a_messaging_service_chooses_the_sender_itself(
    world: World, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = f"MG{'2' * 32}"
    async with serving(*twilio.routes()) as url:
        tell(monkeypatch, tmp_path, URL=url, **{**TOLD, "FROM": "", "MESSAGING_SERVICE_SID": service})
        async with sms_sender(world) as sender:
            await told_siti(world, texts := world.deliveries(sender))
            await texts.deliver_due()
    assert [(form["MessagingServiceSid"], "From" in form) for form in twilio.taken] == [(service, False)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"FROM": ""},
        {"MESSAGING_SERVICE_SID": f"MG{'2' * 32}"},
        {"ACCOUNT_SID": "someone"},
        {"KEY_SID": "AC"},
    ],
)
@pytest.mark.unit
def test_settings_that_cannot_work_are_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: dict[str, str]
) -> None:
    tell(monkeypatch, tmp_path, **{**TOLD, **wrong})
    with pytest.raises(ValidationError) as refused:
        TwilioSettings.load()
    assert KEY not in str(refused.value)


@pytest.mark.unit
def test_without_sms_nothing_of_them_is_loaded() -> None:
    """aiohttp takes nine MiB."""
    code = "import sys; import petpro_notification.__main__; sys.exit('aiohttp' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
