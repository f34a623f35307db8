"""SMS by Twilio's Messages API.

It knows no idempotency key: who dies, or hears nothing, after Twilio has taken an SMS and before that is written down
sends it again, and the person gets two. Of SMS whose answers get lost there are three at most.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

import aiohttp
from aiohttp import encode_basic_auth
from pydantic import Field, SecretStr, model_validator

from petpro_common.settings import EnvironmentSettings
from petpro_notification.directory import Person
from petpro_notification.domain import Channel, Refused, Result, Sent, Suppressed, TryAgain
from petpro_notification.senders import http
from petpro_notification.senders.sender import Sender
from petpro_notification.senders.sms_text import fitted
from petpro_notification.settings import Settings
from petpro_notification.store import Due, Names
from petpro_notification.wording import Wording, Words

_VALID_SECONDS = 4 * 3600
"""How long Twilio may keep an SMS for later: a reminder is of no use the day after. It takes 36,000 at most."""

_MOST_LOST = 3
_OF_THE_NUMBER = (
    21211,  # no valid number
    21265,  # a short code
    21610,  # who has it has unsubscribed
    21614,  # no mobile number
    21635,  # a landline
)


class TwilioSettings(EnvironmentSettings):
    """Environment and secrets of Twilio, for whoever sends from a number or name, or by a messaging service.

    `twilio_key` is the secret of the API key `twilio_key_sid`, or the account's own token where that is empty.
    """

    service: ClassVar[str] = "notification"

    twilio_url: str = "https://api.twilio.com"
    twilio_account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$")
    twilio_key_sid: str = Field("", pattern=r"^(SK[0-9a-f]{32})?$")
    twilio_key: SecretStr
    twilio_from: str = ""
    twilio_messaging_service_sid: str = Field("", pattern=r"^(MG[0-9a-f]{32})?$")
    sms_most_parts: int = Field(2, ge=1, le=10)

    @model_validator(mode="after")
    def _says_who_sends(self) -> Self:
        """Twilio takes one of the two."""
        if bool(self.twilio_from) == bool(self.twilio_messaging_service_sid):
            raise ValueError("one of twilio_from and twilio_messaging_service_sid must be set")
        return self


@asynccontextmanager
async def open_sender(settings: Settings) -> AsyncIterator[Sender]:
    """Twilio, as its settings say."""
    own = TwilioSettings.load()
    key = encode_basic_auth(own.twilio_key_sid or own.twilio_account_sid, own.twilio_key.get_secret_value())
    async with http.open_session(headers={"Authorization": key}) as session:
        yield Twilio(session, own, Wording(settings.language))


@dataclass(frozen=True)
class Sms:
    """A text, and which try to send it this is."""

    text: str
    tries: int


class Twilio:
    """Sends SMS through `session`, which shows who we are."""

    channel = Channel.SMS

    def __init__(self, session: aiohttp.ClientSession, settings: TwilioSettings, wording: Wording) -> None:
        self._session = session
        self._wording = wording
        self._most_parts = settings.sms_most_parts
        account = f"{settings.twilio_url.rstrip('/')}/2010-04-01/Accounts/{settings.twilio_account_sid}"
        self._messages = f"{account}/Messages.json"
        by_service = {"MessagingServiceSid": settings.twilio_messaging_service_sid}
        self._sender = {"From": settings.twilio_from} if settings.twilio_from else by_service

    def compose(self, due: Due, words: Words, _names: Names, _person: Person) -> Sms:
        """A text in so many parts as the settings allow."""
        return Sms(fitted(self._wording.sms(words), self._most_parts), due.tries)

    async def send(self, composed: Sms, person: Person) -> Result:
        """Sent when Twilio has taken it. What it refuses because of us, and not of the number, is tried again."""
        if not person.phone_number:
            return Suppressed("no phone number")
        form = {"To": person.phone_number, "Body": composed.text, "ValidityPeriod": str(_VALID_SECONDS), **self._sender}
        answer = await http.post(self._session, self._messages, data=form)
        if isinstance(answer, http.AnswerLost) and composed.tries >= _MOST_LOST:
            return Refused("answer lost")
        if isinstance(answer, TryAgain):
            return answer
        if answer.is_success:
            return Sent()
        code = answer.json().get("code")
        if code in _OF_THE_NUMBER:
            return Refused(f"number refused: {code}")
        return TryAgain(f"status {answer.status}, code {code}" if isinstance(code, int) else answer.later.reason)
