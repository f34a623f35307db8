"""The keys with which access tokens are signed, and the tokens themselves."""

import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from petpro_account.domain import ACCESS_TOKEN_LIFE
from petpro_common.auth import ACCOUNT_ISSUER, AUDIENCE
from petpro_common.context import Role
from petpro_common.ids import new_id

_RANDOM_BYTES = 32
_ID_CHARACTERS = 32
_SALT_BYTES = 16
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y")


class TokenKeys:
    """Signs with the first key; publishes all, so that tokens outlive a rotation."""

    def __init__(self, signing_keys: str) -> None:
        """Takes a JSON array of private P-256 JWKs. Raises ValueError when that is not what it is."""
        try:
            keys = [_read_key(key) for key in json.loads(signing_keys)]
        except (JoseError, ValueError, TypeError, AttributeError) as fault:
            raise ValueError("the signing keys are not a JSON array of private P-256 keys") from fault
        if not keys or len({key.kid for key in keys}) != len(keys):
            raise ValueError("at least one signing key is needed, each with a kid of its own")
        self._keys: Sequence[ECKey] = keys

    def sign(self, user_id: UUID, role: Role) -> str:
        """An access token of this person: ES256, good for fifteen minutes."""
        now = datetime.now(UTC)
        claims = {
            "iss": ACCOUNT_ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "role": role.value,
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_TOKEN_LIFE).timestamp()),
            "jti": str(new_id()),
        }
        key = self._keys[0]
        return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": str(key.kid)}, claims, key)

    def public(self) -> list[dict[str, str]]:
        """The members of each public key that RFC 7517 and 7518 name, and none of the private ones."""
        return [_public_key(key) for key in self._keys]


def _read_key(key: dict[str, str | list[str]]) -> ECKey:
    found = ECKey.import_key(key)
    if found.curve_name != "P-256" or not found.is_private:
        raise ValueError("a signing key must be private, on the curve P-256")
    found.ensure_kid()
    return found


def _public_key(key: ECKey) -> dict[str, str]:
    members = key.as_dict(private=False)
    return {name: str(members[name]) for name in _PUBLIC_MEMBERS} | {"kid": str(key.kid), "alg": "ES256", "use": "sig"}


def new_token() -> str:
    """256 random bits as text: a refresh token, or one that sets a new password."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def mailed_token(id_: UUID) -> str:
    """A token for a mail about something: its id, by which it is found, and 256 random bits."""
    return f"{id_.hex}{new_token()}"


def found_by(token: str) -> UUID | None:
    """The id with which a token for a mail begins; None of what is no such token."""
    try:
        return UUID(token[:_ID_CHARACTERS])
    except ValueError:
        return None


def new_salt() -> bytes:
    """What `successor` is made with, once."""
    return secrets.token_bytes(_SALT_BYTES)


def successor(token: str, key: str, salt: bytes) -> str:
    """The refresh token that follows `token` where it came with this idempotency key: the same for the same three.

    Nobody can guess it who lacks one of them. `token` is as random as the successor has to be, so a fast hash will do.
    """
    made = hmac.digest(salt, f"{key}\n{token}".encode(), sha256)
    return urlsafe_b64encode(made).decode().rstrip("=")


def token_hash(token: str) -> bytes:
    """What is stored of such a token. It is random, so a fast hash cannot be turned back."""
    return sha256(token.encode()).digest()
