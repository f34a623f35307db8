"""What is sealed for a service and a purpose is read by that service for that purpose, and by nobody else."""

from base64 import b64decode
from pathlib import Path

import pytest

from petpro_common.sealing import Opener, SealBroken, Sealer
from petpro_common.testing import KeyRing

pytestmark = pytest.mark.unit


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


def test_the_service_it_is_for_reads_it(keys: KeyRing) -> None:
    sealer, opener = Sealer(keys.service_jwks_file, "payment"), Opener(keys.service_key("payment"))
    sealed = sealer.seal("tok_söcret", "payment 1")
    assert "tok_söcret".encode() not in b64decode(sealed.removeprefix("sealed.1."), altchars=b"-_", validate=True)
    assert sealed != sealer.seal("tok_söcret", "payment 1")
    assert opener.open(sealed, "payment 1") == "tok_söcret"


def test_nobody_else_and_for_nothing_else(keys: KeyRing) -> None:
    sealed = Sealer(keys.service_jwks_file, "payment").seal("tok", "payment 1")
    payment, booking = Opener(keys.service_key("payment")), Opener(keys.service_key("booking"))
    with pytest.raises(SealBroken):
        booking.open(sealed, "payment 1")
    with pytest.raises(SealBroken):
        payment.open(sealed, "payment 2")
    for broken in (sealed[:-6] + "AAAA==", "sealed.1.", "sealed.1.!"):
        with pytest.raises(SealBroken):
            payment.open(broken, "payment 1")


def test_nothing_stays_nothing_and_what_was_never_sealed_is_its_own(keys: KeyRing) -> None:
    assert Sealer(keys.service_jwks_file, "payment").seal("", "payment 1") == ""
    assert Opener(keys.service_key("payment")).open("tok_success", "payment 1") == "tok_success"


def test_a_service_without_a_key_is_named(keys: KeyRing) -> None:
    with pytest.raises(KeyError, match="lehman"):
        Sealer(keys.service_jwks_file, "lehman")
