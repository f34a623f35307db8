"""Secrets that pass through other hands on their way: only the service that they are for can read them.

Sealed with HPKE (RFC 9180, base mode) to the public key of that service, which every service has; while one key follows
another, to the first, since the service may not have the second yet. What is sealed for one purpose opens for no other.
It says nothing of who sealed it.
"""

import contextlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from petpro_common.auth import read_jwks
from petpro_common.service_keys import read_private_keys

_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_MARK = "sealed.1."
_INFO = "petpro sealed 1: "


class SealBroken(Exception):
    """It was sealed for another service or purpose, or was changed."""


class Sealer:
    """Seals for one service, by its key in the file of service keys. Raises LookupError when it has none."""

    def __init__(self, service_jwks_file: Path, service: str) -> None:
        first, *_ = read_jwks(json.loads(service_jwks_file.read_text())["keys"])[service]
        self._key: ec.EllipticCurvePublicKey = first.key

    def seal(self, secret: str, purpose: str) -> str:
        """The secret, readable to that service alone and for that purpose alone; nothing stays nothing."""
        if not secret:
            return ""
        sealed = _SUITE.encrypt(secret.encode(), self._key, (_INFO + purpose).encode())
        return _MARK + urlsafe_b64encode(sealed).decode()


class Opener:
    """Opens what was sealed for this service, by its private key and those of before that stand behind it.

    Raises BadServiceKey.
    """

    def __init__(self, service_key: str) -> None:
        self._keys = read_private_keys(service_key)

    def open(self, sealed: str, purpose: str) -> str:
        """The secret; what was never sealed is its own. Raises SealBroken."""
        if not sealed.startswith(_MARK):
            return sealed
        for key in self._keys:
            with contextlib.suppress(InvalidTag, ValueError):
                body = urlsafe_b64decode(sealed.removeprefix(_MARK))
                return _SUITE.decrypt(body, key, (_INFO + purpose).encode()).decode()
        raise SealBroken
