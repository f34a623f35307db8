"""Keys as account would publish them, and tokens of people and services signed by them."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from petpro_common.auth import ACCOUNT_ISSUER, AUDIENCE, ServiceTokens, Verifier
from petpro_common.context import Role

_SERVICES = ("account", "catalog", "booking", "payment", "notification")


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return {**public, "kid": kid, "alg": "ES256", "use": "sig"}


class KeyRing:
    """One key for account and one for each service, made for one test run; `folder` takes the file of service keys."""

    def __init__(self, folder: Path) -> None:
        self._account = ec.generate_private_key(ec.SECP256R1())
        self._services = {name: ec.generate_private_key(ec.SECP256R1()) for name in _SERVICES}
        self.service_jwks_file = folder / "service-jwks.json"
        self.publish(self)

    def publish(self, *rings: "KeyRing") -> None:
        """Writes the file of service keys anew, with these rings' keys one after the other."""
        keys = [_jwk(key, name) for ring in rings for name, key in ring._services.items()]
        self.service_jwks_file.write_text(json.dumps({"keys": keys}))

    async def account_keys(self) -> list[dict[str, Any]]:
        return [_jwk(self._account, "account-1")]

    def verifier(self) -> Verifier:
        return Verifier(self.service_jwks_file, self.account_keys)

    def service_key(self, service: str) -> str:
        """The private key of a service, as its secret file holds it."""
        return _pem(self._services[service])

    def person(self, user_id: UUID, role: Role = Role.CUSTOMER, seconds: int = 900, **claims: Any) -> str:
        """An access token of a person; `claims` overrides single ones, to make bad tokens."""
        now = int(time.time())
        body = {
            "iss": ACCOUNT_ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "role": role.value,
            "iat": now,
            "exp": now + seconds,
        }
        return jwt.encode({**body, **claims}, _pem(self._account), algorithm="ES256", headers={"kid": "account-1"})

    def service(self, name: str, **claims: Any) -> str:
        """A token of a service, signed by its own key; `claims` overrides single ones, to make bad tokens."""
        issued = ServiceTokens(name, self.service_key(name)).issue()
        body = jwt.decode(issued, options={"verify_signature": False})
        return jwt.encode({**body, **claims}, self.service_key(name), algorithm="ES256", headers={"kid": name})
