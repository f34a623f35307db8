"""Pushes to apps, by the HTTP v1 API of Firebase Cloud Messaging.

What it says of a device is in the error code of its own (UNREGISTERED): a bare 404 may be a project that is not ours,
and would have every device removed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from http import HTTPStatus
from typing import Any, ClassVar

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, SecretStr

from petpro_common.settings import EnvironmentSettings
from petpro_notification.domain import Refused, Result, Sent, TryAgain
from petpro_notification.senders import http
from petpro_notification.senders.push import Gone, Message
from petpro_notification.store_devices import Target

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASKED_FOR_SECONDS = 3600
_EARLY_SECONDS = 60.0
_OF_THE_DEVICE = ("INVALID_ARGUMENT", "SENDER_ID_MISMATCH")


class FcmSettings(EnvironmentSettings):
    """Environment and secrets of FCM. `fcm_account` is the JSON of a service account, as Google gives it."""

    service: ClassVar[str] = "notification"

    fcm_url: str = "https://fcm.googleapis.com"
    fcm_account: SecretStr


class Account(BaseModel):
    """What is needed of a service account."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    project_id: str
    client_email: str
    private_key_id: str
    private_key: SecretStr
    token_uri: str

    @cached_property
    def signing_key(self) -> RSAPrivateKey:
        """The key itself. Raises ValueError for what is none."""
        key = load_pem_private_key(self.private_key.get_secret_value().encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("private_key must be an RSA key")  # noqa: TRY004  # a setting like any other
        return key


@asynccontextmanager
async def open_service() -> AsyncIterator["Fcm"]:
    """FCM, as its settings say. Raises ValueError, as pydantic does, for what cannot work."""
    settings = FcmSettings.load()
    account = Account.model_validate_json(settings.fcm_account.get_secret_value())
    async with http.open_session() as session:
        yield Fcm(session, settings.fcm_url, account)


class Tokens:
    """Access tokens of a service account (RFC 7523), each used until shortly before it ends."""

    def __init__(self, session: aiohttp.ClientSession, account: Account) -> None:
        self._session = session
        self._account = account
        self._key = account.signing_key
        self._token, self._until = "", 0.0
        self._asking = asyncio.Lock()

    async def get(self) -> str | TryAgain:
        """A token that is good, or why there is none."""
        async with self._asking:
            if time.monotonic() >= self._until:
                failed = await self._ask()
                if failed:
                    return failed
            return self._token

    def forget(self) -> None:
        """Has the next token asked for: this one is not taken any more."""
        self._until = 0.0

    async def _ask(self) -> TryAgain | None:
        asked_at = time.monotonic()
        form = {"grant_type": _GRANT, "assertion": self._assertion()}
        answer = await http.post(self._session, self._account.token_uri, data=form)
        if isinstance(answer, TryAgain):
            return answer
        said = answer.json()
        token, seconds = said.get("access_token"), said.get("expires_in")
        if not answer.is_success or not isinstance(token, str) or not isinstance(seconds, int):
            return TryAgain(f"no access token: status {answer.status}")
        self._token, self._until = token, asked_at + seconds - _EARLY_SECONDS
        return None

    def _assertion(self) -> str:
        account, now = self._account, int(time.time())
        claims = {"iss": account.client_email, "scope": _SCOPE, "aud": account.token_uri, "iat": now}
        return jwt.encode(
            {**claims, "exp": now + _ASKED_FOR_SECONDS},
            self._key,
            algorithm="RS256",
            headers={"kid": account.private_key_id},
        )


class Fcm:
    """Reaches apps."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: Account) -> None:
        self._session = session
        self._tokens = Tokens(session, account)
        self._url = f"{url.rstrip('/')}/v1/projects/{account.project_id}/messages:send"

    async def push(self, target: Target, message: Message) -> Result | Gone:
        """Hands the message over for the app that has that token."""
        access = await self._tokens.get()
        if isinstance(access, TryAgain):
            return access
        headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
        body = orjson.dumps({"message": _message(target.token, message)})
        answer = await http.post(self._session, self._url, data=body, headers=headers)
        if isinstance(answer, TryAgain):
            return answer
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget()
        return Sent() if answer.is_success else _refusal(answer)


def _message(token: str, message: Message) -> dict[str, Any]:
    """Android and iOS show one notification of a tag. No collapse key: of these FCM keeps four for a phone that is
    switched off, and would lose what else it was told."""
    tag, until = str(message.notification_id), int(message.expires_at.timestamp())
    return {
        "token": token,
        "notification": {"title": message.title, "body": message.body},
        "data": dict(message.data),
        "android": {"priority": "high", "ttl": f"{message.ttl_seconds}s", "notification": {"tag": tag}},
        "apns": {"headers": {"apns-collapse-id": tag, "apns-expiration": str(until)}},
    }


def _refusal(answer: http.Answer) -> Result | Gone:
    code = _code(answer.json())
    if code == "UNREGISTERED":
        return Gone()
    return Refused(code) if code in _OF_THE_DEVICE else answer.later


def _code(said: dict[str, Any]) -> str:
    """FCM's own code among the details, or none."""
    try:
        return next((str(each["errorCode"]) for each in said["error"]["details"] if "errorCode" in each), "")
    except (KeyError, TypeError):
        return ""
