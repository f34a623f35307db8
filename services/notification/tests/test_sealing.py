"""What is sealed for a browser is what the standard says, and no other browser reads it."""

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from petpro_notification.senders.web_push_sealing import sealed, sealed_with
from services.notification.tests.played_browser import Browser, decoded, encoded, point

pytestmark = pytest.mark.unit

# RFC 8291, appendix A.
OURS = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
THEIRS = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
AUTH, SALT = "BTBZMqHH6r4Tts7J_aSIgg", "DGv6ra1nlYgDCS1FRnbzlw"
MESSAGE = b"When I grow up, I want to be a watermelon"
SEALED = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(decoded(text), "big"), ec.SECP256R1())


def test_the_example_of_the_standard() -> None:
    p256dh = encoded(point(private(THEIRS)))
    assert encoded(sealed_with(MESSAGE, p256dh, AUTH, private(OURS), decoded(SALT))) == SEALED
    assert Browser("theirs", private(THEIRS), decoded(AUTH)).read(decoded(SEALED)) == MESSAGE


@given(st.binary(max_size=3993))
def test_the_browser_alone_reads_it(message: bytes) -> None:
    browser, other = Browser("one"), Browser("other")
    body = sealed(message, encoded(point(browser.key)), encoded(browser.auth))
    assert len(body) <= 4096
    assert browser.read(body) == message
    with pytest.raises(InvalidTag):
        other.read(body)
    assert sealed(message, encoded(point(browser.key)), encoded(browser.auth)) != body


def test_what_was_changed_on_its_way_is_not_read() -> None:
    browser = Browser("one")
    body = bytearray(sealed(os.urandom(50), encoded(point(browser.key)), encoded(browser.auth)))
    body[-1] ^= 1
    with pytest.raises(InvalidTag):
        browser.read(bytes(body))
