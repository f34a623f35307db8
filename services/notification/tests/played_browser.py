"""A browser that can be pushed to, and the push service that it has chosen (RFC 8030, RFC 8291, RFC 8292)."""

import base64
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Browser:
    """Reads what was sealed for it."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    def subscription(self, url: str) -> dict[str, Any]:
        """As `PushSubscription.toJSON()` gives it."""
        keys = {"p256dh": encoded(point(self.key)), "auth": encoded(self.auth)}
        return {"endpoint": f"{url}/push/{self.name}", "keys": keys}

    def read(self, body: bytes) -> bytes:
        """Raises InvalidTag for what is sealed for somebody else."""
        salt, length = body[:16], body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= int.from_bytes(body[16:20], "big") == 4096
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        info = b"WebPush: info\0" + point(self.key) + sender
        given = HKDF(SHA256(), 32, self.auth, info).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(given)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(given)
        message, end, padding = AESGCM(key).decrypt(nonce, record, None).rpartition(b"\x02")
        assert (end, padding.strip(b"\0")) == (b"\x02", b"")
        return message


@dataclass
class PushServer:
    """Takes pushes for browsers from whoever has signed with `key`; `says`: the status for a browser, by its name."""

    key: str
    says: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    browsers: dict[str, Browser] = field(default_factory=dict)
    shown: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        """To be served."""
        return [web.post("/push/{name}", self._push), web.post("/elsewhere", self._push)]

    def browser(self, name: str) -> Browser:
        return self.browsers.setdefault(name, Browser(name))

    async def _push(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "elsewhere")
        self.asked.append({"name": name, **request.headers})
        if status := self.says.get(name):
            return web.Response(status=status, headers=self.headers)
        scheme, _, given = request.headers["Authorization"].partition(" ")
        told = dict(part.strip().split("=", 1) for part in given.split(","))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(told["k"]))
        claims = jwt.decode(told["t"], public, algorithms=["ES256"], audience=str(request.url.origin()))
        assert (scheme, told["k"]) == ("vapid", self.key)
        assert claims["exp"] <= time.time() + 24 * 3600
        assert claims["sub"].startswith("mailto:")
        assert request.headers["Content-Encoding"] == "aes128gcm"
        self.shown.append({"browser": name, **json.loads(self.browsers[name].read(await request.read()))})
        return web.Response(status=201)
