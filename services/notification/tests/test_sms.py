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
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from petpro_common.ids import new_id
from petpro_common.testing import logged
from petpro_notification.deliveries import Deliveries
from petpro_notification.domain import CANNOT_WAIT, Type
from petpro_notification.senders.registry import open_senders
from petpro_notification.senders.sms_text import fitted
from petpro_notification.senders.twilio import TwilioSettings
from petpro_notification.store import Names
from petpro_notification.wording import Wording
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.fake_twilio import ACCOUNT, FROM, KEY, KEY_SID, FakeTwilio
from services.notification.tests.loopback import serving

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


@pytest.fixture
async def twilio() -> FakeTwilio:
    return FakeTwilio()


@pytest.fixture
async def texts(
    world: World, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Deliveries]:
    """The worker of a process that is told to send SMS."""
    async with serving(*twilio.routes()) as url:
        tell(monkeypatch, tmp_path, URL=url, **TOLD)
        async with open_senders(world.settings.model_copy(update={"sms": "twilio"}), world.database) as (_, sender):
            yield world.deliveries(sender)


async def told_siti(world: World, texts: Deliveries, number: str = NUMBER) -> None:
    siti = new_id()
    world.account.add(siti, "siti@example.com", "Siti Aminah", wishes=["sms"], phone_number=number)
    await world.tell_by([texts], ("booking.confirmed", confirmed(siti, new_id())))


async def standing(world: World) -> tuple[str, str, str | None]:
    [row] = await world.rows("SELECT channel, status, reason FROM deliveries")
    return row.channel, row.status, row.reason


async def test_who_wants_sms_gets_one_on_their_number(world: World, texts: Deliveries, twilio: FakeTwilio) -> None:
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
    world: World, texts: Deliveries, twilio: FakeTwilio, code: int
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
    world: World, texts: Deliveries, twilio: FakeTwilio, code: int
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
async def test_who_is_away_is_asked_again(world: World, texts: Deliveries, twilio: FakeTwilio, status: int) -> None:
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
    world: World, texts: Deliveries, twilio: FakeTwilio, as_a_date: bool
) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    twilio.status, twilio.headers = 429, {"Retry-After": at if as_a_date else "600"}
    await told_siti(world, texts)
    await texts.deliver_due()
    assert 300 < await pause(world) <= 600


@pytest.mark.parametrize("after", ["soon", "-5", "99999999999"])
async def test_what_it_says_of_when_is_believed_within_limits(
    world: World, texts: Deliveries, twilio: FakeTwilio, after: str
) -> None:
    twilio.status, twilio.headers = 503, {"Retry-After": after}
    await told_siti(world, texts)
    await texts.deliver_due()
    assert await pause(world) <= 3600


async def test_who_has_no_number_gets_none(world: World, texts: Deliveries, twilio: FakeTwilio) -> None:
    await told_siti(world, texts, number="")
    await texts.deliver_due()
    assert (twilio.taken, await standing(world)) == ([], ("sms", "suppressed", "no phone number"))


async def test_a_crash_between_sending_and_recording_sends_it_twice(
    world: World, texts: Deliveries, twilio: FakeTwilio
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


async def test_a_messaging_service_chooses_the_sender_itself(
    world: World, twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = f"MG{'2' * 32}"
    async with serving(*twilio.routes()) as url:
        tell(monkeypatch, tmp_path, URL=url, **{**TOLD, "FROM": "", "MESSAGING_SERVICE_SID": service})
        async with open_senders(world.settings.model_copy(update={"sms": "twilio"}), world.database) as (_, sender):
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


GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWICE = "^{}\\[~]|€"


def parts(text: str) -> int:
    """How many a phone network makes of it, sign by sign."""
    is_gsm = all(sign in GSM + TWICE for sign in text)
    costs = [2 if (sign in TWICE if is_gsm else ord(sign) > 0xFFFF) else 1 for sign in text]
    alone, together = (160, 153) if is_gsm else (70, 67)
    if sum(costs) <= alone:
        return 1
    count, room = 1, together
    for cost in costs:
        if cost > room:
            count, room = count + 1, together
        room -= cost
    return count


@pytest.mark.unit
@given(st.text(max_size=700), st.integers(1, 4))
@example("€" * 400, 2)
@example("\N{PAW PRINTS}" * 100, 2)
@example("a" * 161, 1)
@example("€" + "a" * 152 + "€" * 76, 2)
def test_no_text_takes_more_parts_than_it_may(text: str, most: int) -> None:
    sms = fitted(text, most)
    assert parts(sms) <= most
    assert len(sms) <= len(text) + 2 * text.count("\N{HORIZONTAL ELLIPSIS}") + len("...")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "most", "sms"),
    [
        ("one\n\n two\N{NO-BREAK SPACE}three", 1, "one two three"),
        ("\N{LEFT DOUBLE QUOTATION MARK}Satwa\N{RIGHT DOUBLE QUOTATION MARK} \N{EN DASH} we", 1, '"Satwa" - we'),
        ("a" * 160, 1, "a" * 160),
        ("word " * 40, 1, ("word " * 31).rstrip() + "..."),
        ("a" * 161, 1, "a" * 157 + "..."),
        ("犬" * 71, 1, "犬" * 67 + "..."),
        ("猫" * 70, 1, "猫" * 70),
    ],
)
def test_a_text_is_cut_where_a_word_ends(text: str, most: int, sms: str) -> None:
    assert fitted(text, most) == sms


@pytest.mark.unit
@pytest.mark.parametrize("language", ["en", "id"])
@pytest.mark.parametrize("type_", CANNOT_WAIT)
def test_what_goes_by_sms_costs_two_parts_at_most_and_says_who_writes(language: str, type_: Type) -> None:
    facts = {**confirmed(new_id(), new_id()), "refund_amount": "150000.00", "refund_status": "pending"}
    wording = Wording(language)
    sms = fitted(wording.sms(wording.words(type_, facts, Names("Klinik Satwa, Menteng", service="Vaccination"))), 2)
    assert sms.startswith("PetPro: ")
    assert not sms.endswith("...")
    assert parts(sms) <= 2
    assert all(sign in GSM + TWICE for sign in sms), "or it would cost twice as much"
