"""Pushes to browsers, by the push service that each has chosen (RFC 8030), which sees neither who we write to nor what.

We show that it is us by a signed token (VAPID, RFC 8292). A push service is called only where the settings know it, and
sends us nowhere else.
"""

import base64
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import Field, SecretStr
from yarl import URL

from petpro_common.settings import EnvironmentSettings
from petpro_notification.domain import Refused, Result, Sent, TryAgain, leads_to
from petpro_notification.senders import http
from petpro_notification.senders.push import Gone, Message
from petpro_notification.senders.web_push_sealing import sealed
from petpro_notification.settings import Settings
from petpro_notification.store_devices import Target

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_TOKEN_SECONDS = 12 * 3600  # RFC 8292, 2: a day at most
_KEPT_SECONDS = 3600.0


class WebPushSettings(EnvironmentSettings):
    """Environment and secrets of Web Push.

    `web_push_key` is a private key of P-256, PEM, which browsers subscribe to by its public half; `web_push_contact` is
    where a push service finds us, should we do it harm.
    """

    service: ClassVar[str] = "notification"

    web_push_key: SecretStr
    web_push_contact: str = Field(pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+)$")


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator["WebPush"]:
    """Web Push, as its settings say. Raises pydantic's ValidationError, and ValueError for what is no such key."""
    own = WebPushSettings.load()
    key = load_pem_private_key(own.web_push_key.get_secret_value().encode(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("web_push_key must be a private key of P-256")  # noqa: TRY004  # a setting like any other
    async with http.open_session() as session:
        yield WebPush(session, Signature(key, own.web_push_contact), settings.push_services)


class Signature:
    """Says to a push service who we are; a token is made for each service, and used for an hour."""

    def __init__(self, key: EllipticCurvePrivateKey, contact: str) -> None:
        self._key = key
        self._contact = contact
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public_key = base64.urlsafe_b64encode(point).decode().rstrip("=")
        self._kept: dict[str, tuple[str, float]] = {}

    def for_(self, endpoint: str) -> str:
        """The header Authorization, for the service of that endpoint."""
        url = urlsplit(endpoint)
        service = f"{url.scheme}://{url.netloc}"
        header, until = self._kept.get(service, ("", 0.0))
        if time.monotonic() >= until:
            header = f"vapid t={self._token(service)}, k={self.public_key}"
            self._kept[service] = header, time.monotonic() + _KEPT_SECONDS
        return header

    def _token(self, service: str) -> str:
        claims = {"aud": service, "exp": int(time.time()) + _TOKEN_SECONDS, "sub": self._contact}
        return jwt.encode(claims, self._key, algorithm="ES256")


class WebPush:
    """Reaches browsers whose push services are at these hosts."""

    def __init__(self, session: aiohttp.ClientSession, signature: Signature, hosts: Collection[str]) -> None:
        self._session = session
        self._signature = signature
        self._hosts = hosts

    async def push(self, target: Target, message: Message) -> Result | Gone:
        """Hands the message over to the push service of that browser."""
        if not leads_to(target.token, self._hosts):
            return Refused("push service not known here")
        answer = await http.post(
            self._session,
            URL(target.token, encoded=True),
            data=sealed(_payload(message), target.p256dh, target.auth),
            headers={**_headers(message), "Authorization": self._signature.for_(target.token)},
        )
        if isinstance(answer, TryAgain):
            return answer
        if answer.is_success:
            return Sent()
        if answer.status in _GONE:
            return Gone()
        return Refused("too large") if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else answer.later


def _headers(message: Message) -> dict[str, str]:
    """Of what waits for a browser the push service keeps one of a topic."""
    topic = base64.urlsafe_b64encode(message.notification_id.bytes).decode().rstrip("=")
    return {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(message.ttl_seconds),
        "Topic": topic,
        "Urgency": "high",
    }


def _payload(message: Message) -> bytes:
    """What our page's worker shows, under the tag."""
    shown = {"title": message.title, "body": message.body, "tag": str(message.notification_id)}
    return orjson.dumps({**shown, "data": dict(message.data)})
