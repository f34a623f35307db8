"""A service's own key is one that signs what the others believe; anything else is told at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from petpro_common.auth import ServiceTokens
from petpro_common.service_keys import BadServiceKey, read_private_keys
from petpro_common.testing import KeyRing

pytestmark = pytest.mark.unit


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> KeyRing:
    """Keys of another installation."""
    (tmp_path / "elsewhere").mkdir()
    return KeyRing(tmp_path / "elsewhere")


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_the_first_key_signs_and_those_of_before_stand_behind_it(keys: KeyRing, elsewhere: KeyRing) -> None:
    new, old = (ring.service_key("booking") for ring in (keys, elsewhere))
    assert [pem(key) for key in read_private_keys(new + old)] == [new, old]
    keys.verifier().require_known(ServiceTokens("booking", new + old))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "woof",
        lambda key: key[:100],
        lambda key: key.replace("M", "W"),
        lambda key: key + "-----BEGIN PRIVATE KEY-----\nwoof\n-----END PRIVATE KEY-----",
        lambda _: pem(ec.generate_private_key(ec.SECP384R1())),
        lambda _: pem(ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["nothing", "no key", "cut off", "changed", "bad behind a good one", "another curve", "another kind"],
)
def test_what_cannot_be_read_is_told_and_not_quoted(keys: KeyRing, spoil: Callable[[str], str]) -> None:
    spoilt = spoil(keys.service_key("booking"))
    with pytest.raises(BadServiceKey) as told:
        ServiceTokens("booking", spoilt)
    assert "woof" not in str(told.value)


def test_a_key_that_others_do_not_know_is_told(keys: KeyRing, elsewhere: KeyRing) -> None:
    for foreign in (elsewhere.service_key("booking"), keys.service_key("payment")):
        with pytest.raises(BadServiceKey):
            keys.verifier().require_known(ServiceTokens("booking", foreign))


def test_a_service_that_is_not_published_is_told(keys: KeyRing) -> None:
    with pytest.raises(BadServiceKey):
        keys.verifier().require_known(ServiceTokens("kennel", keys.service_key("booking")))


def test_while_one_key_follows_another_either_will_do(keys: KeyRing, elsewhere: KeyRing) -> None:
    keys.publish(keys, elsewhere)
    for ring in (keys, elsewhere):
        keys.verifier().require_known(ServiceTokens("booking", ring.service_key("booking")))
