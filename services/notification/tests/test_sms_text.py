"""What an SMS says, in no more parts than it may cost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petpro_common.ids import new_id
from petpro_notification.domain import CANNOT_WAIT, Type
from petpro_notification.senders.sms_text import fitted
from petpro_notification.store import Names
from petpro_notification.wording import Wording
from services.notification.tests.conftest import confirmed

pytestmark = pytest.mark.unit

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


@given(st.text(max_size=700), st.integers(1, 4))
@example("€" * 400, 2)
@example("\N{PAW PRINTS}" * 100, 2)
@example("a" * 161, 1)
@example("€" + "a" * 152 + "€" * 76, 2)
def test_no_text_takes_more_parts_than_it_may(text: str, most: int) -> None:
    sms = fitted(text, most)
    assert parts(sms) <= most
    assert len(sms) <= len(text) + 2 * text.count("\N{HORIZONTAL ELLIPSIS}") + len("...")


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
