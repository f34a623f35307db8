"""A contract fake of Google's tokens and of FCM's HTTP v1 API, as their public references describe them."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PROJECT, EMAIL, KEY_ID = "petpro-of-nobody", "sender@petpro-of-nobody.iam.gserviceaccount.com", "key-1"
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_STATUS_OF = {"UNREGISTERED": 404, "INVALID_ARGUMENT": 400, "SENDER_ID_MISMATCH": 403, "QUOTA_EXCEEDED": 429}


@dataclass
class FakeFcm:
    """`says`: what it answers of a device, by its token: an error code of FCM's, or a bare status."""

    says: dict[str, str | int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    no_tokens: bool = False
    holds_its_answer: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    messages: list[dict[str, Any]] = field(default_factory=list)
    access: list[str] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def routes(self) -> list[web.RouteDef]:
        """To be served."""
        return [web.post("/token", self._token), web.post("/v1/projects/{project}/messages:send", self._send)]

    def account(self, url: str) -> str:
        """The JSON that Google gives for the service account."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        known = {"project_id": PROJECT, "client_email": EMAIL, "private_key_id": KEY_ID, "private_key": pem}
        return json.dumps({"type": "service_account", "token_uri": f"{url}/token", **known})

    @property
    def tokens(self) -> list[str]:
        """Of the devices to which something was sent."""
        return sorted(message["token"] for message in self.messages)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        if self.no_tokens:
            return web.json_response({"error": "invalid_grant"}, status=400)
        assertion, url = str(form["assertion"]), str(request.url)
        claims = jwt.decode(assertion, self.key.public_key(), algorithms=["RS256"], audience=url, issuer=EMAIL)
        assert jwt.get_unverified_header(assertion)["kid"] == KEY_ID
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        assert claims["exp"] <= time.time() + 3600
        self.access.append(f"access-{len(self.access)}")
        return web.json_response({"access_token": self.access[-1], "expires_in": 3600, "token_type": "Bearer"})

    async def _send(self, request: web.Request) -> web.Response:
        _, _, shown = request.headers["Authorization"].partition("Bearer ")
        if shown not in self.access or shown in self.forgotten:
            return _error(401, "UNAUTHENTICATED")
        assert request.match_info["project"] == PROJECT
        message: dict[str, Any] = (await request.json())["message"]
        says = self.says.get(message["token"])
        if isinstance(says, int):
            return web.Response(status=says, text="<html>", headers=self.headers)
        if says:
            return _error(_STATUS_OF[says], "ANY", says, self.headers)
        self.messages.append(message)
        self.arrived.set()
        if self.holds_its_answer:
            await asyncio.Event().wait()
        return web.json_response({"name": f"projects/{PROJECT}/messages/{len(self.messages)}"})


def _error(status: int, name: str, code: str = "", headers: dict[str, str] | None = None) -> web.Response:
    details = [{"@type": _FCM_ERROR, "errorCode": code}] if code else []
    said = {"error": {"code": status, "status": name, "message": "of a token", "details": details}}
    return web.json_response(said, status=status, headers=headers)
