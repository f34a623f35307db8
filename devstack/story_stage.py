"""What the stories are played with: ways to the gateway, to the provider's own records and to the mails; and words."""

import asyncio
import email
import email.policy
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

import httpx

from devstack.api import Api, Call, Json
from devstack.transcript import Transcript
from petpro_common import zones

PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.03
_LINK = re.compile(r"^https://\S+#token=(\S+)$", re.MULTILINE)

Seen = TypeVar("Seen")


class StoryWentWrong(Exception):
    """The message says what was waited for, or what was not as it should be."""


@dataclass(frozen=True)
class Stage:
    """Everything a scene needs."""

    told: Transcript
    visitor: Api
    admin: Api
    provider: httpx.AsyncClient
    """The payment sandbox's own API."""
    mails: Path

    async def until(self, awaited: str, look: Callable[[], Awaitable[Seen | None]]) -> Seen:
        """What `look` sees as soon as it is something. Raises StoryWentWrong when it does not come.

        The next sentence shows how long it took.
        """
        began = time.monotonic()
        while not (seen := await look()):
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise StoryWentWrong(f"Waited {PATIENCE_SECONDS:.0f} s for {awaited}.")
            await asyncio.sleep(_POLL_SECONDS)
        if self.told.last:
            self.told.heard(Call(self.told.last.route, (time.monotonic() - began) * 1000))
        return seen

    async def refunds_at_provider(self, payment_intent: str) -> list[Json]:
        """What the provider itself knows of refunds of a payment."""
        answer = await self.provider.get("/v1/refunds", params={"payment_intent": payment_intent})
        return list(answer.raise_for_status().json()["data"])

    def mails_to(self, address: str) -> list[str]:
        """Subjects of the mails that went out to an address, in the order of their going."""
        return [str(mail["Subject"]) for mail in self._sent_to(address)]

    def token_for(self, address: str) -> str | None:
        """That of the link in the last mail to an address that has one."""
        bodies = (mail.get_body(("plain",)) for mail in self._sent_to(address))
        links = [link for body in bodies if body for link in _LINK.findall(body.get_content())]
        return links[-1] if links else None

    def _sent_to(self, address: str) -> Iterator[EmailMessage]:
        for file in sorted(self.mails.glob("*.eml")):
            mail = email.message_from_bytes(file.read_bytes(), EmailMessage, policy=email.policy.default)
            if address in str(mail["X-Envelope-To"]):
                yield mail


def money(amount: Json) -> str:
    """For example IDR 150,000.00, or -150,000.00 with its sign."""
    return f"{amount['currency_code']} {Decimal(amount['amount']):,.2f}"


def plain(enum_value: str, prefix: str) -> str:
    """The enum's value as people say it: BOOKING_STATUS_NO_SHOW is "no show"."""
    return enum_value.removeprefix(prefix).replace("_", " ").lower()


def when(instant: str, zone: str) -> str:
    """A time as the clinic's clock shows it, with the zone's name."""
    return f"{_read(instant).astimezone(zones.zone(zone)):%a %-d %b %Y, %H:%M} ({zone})"


def hours_until(instant: str) -> float:
    return (_read(instant) - datetime.now().astimezone()).total_seconds() / 3600


def milliseconds_between(first: str, second: str) -> float:
    return (_read(second) - _read(first)).total_seconds() * 1000


def _read(instant: str) -> datetime:
    return datetime.fromisoformat(instant)
