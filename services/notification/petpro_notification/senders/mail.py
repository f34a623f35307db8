"""Mails: built so that sending one again is recognisable, and handed to the mail server.

They are made of `email.mime`, whose headers are plain text: `EmailMessage` parses each as it is set, which takes
three times as long as all the rest. Boundaries are given and short: no encoded part can hold one, so none need be
looked for, and their headers fit a line.
"""

import re
import time
from email import policy
from email.encoders import encode_base64
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import format_datetime, parseaddr

import aiosmtplib

from petpro_notification.directory import Person
from petpro_notification.domain import MUST_BE_TOLD, Channel, Refused, Result, Sent, TryAgain
from petpro_notification.senders.calendar_entry import CalendarEntry, calendar_entry
from petpro_notification.senders.headers import mailbox, wire_address, words
from petpro_notification.settings import Settings
from petpro_notification.store import Due, Names
from petpro_notification.wording import Wording, Words

_SMTP_SECONDS = 15.0
_IDLE_SECONDS = 2.0
_LINE_CHARACTERS = 78  # RFC 5322, 2.1.1: longer lines should not be

_OF_AN_ADDRESS = (550, 551, 553)  # RFC 5321, 4.2.3
_ENHANCED = re.compile(r"(?<![\d.])5(\.\d{1,3}\.\d{1,3})(?!\.?\d)")  # RFC 3463; some write it last
_ENHANCED_OF_AN_ADDRESS = (".1.0", ".1.1", ".1.2", ".1.3", ".1.6", ".1.10", ".2.1")
_OF_US = re.compile(r"\b(?:relay|authenticat)", re.IGNORECASE)  # in the words of who writes no enhanced code


class _AsSent(policy.Compat32):
    """Writes a header that fits its line as it is: to look for where each may be folded takes half of a mail's time."""

    def fold_binary(self, name: str, value: str) -> bytes:
        line = f"{name}: {value}"
        if len(line) > _LINE_CHARACTERS or not (line.isascii() and line.isprintable()):
            return super().fold_binary(name, value)
        return f"{line}{self.linesep}".encode()


_AS_SENT = _AsSent(linesep="\r\n")


class Post:
    """Writes and sends mails through one mail server."""

    channel = Channel.EMAIL

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wording = Wording(settings.language)
        self._sender = parseaddr(settings.mail_from)
        self._address = self._sender[1]
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []

    def compose(self, due: Due, said: Words, names: Names, person: Person) -> bytes:
        """The mail of a delivery. Message-ID and Date come from the delivery: a second copy can be told as one."""
        # Anybody gives any address as theirs, and any words as a name: those do not go to an address that may be
        # somebody else's, nor where nothing need be wanted.
        name = person.full_name if person.is_verified and due.type not in MUST_BE_TOLD else ""
        letter = self._wording.letter(said, name)
        mail = MIMEMultipart("mixed", "=_mixed")
        mail["From"] = mailbox(*self._sender, "From")
        mail["To"] = mailbox(name, wire_address(person.email), "To")
        mail["Subject"] = words(said.title, "Subject")
        mail["Date"] = format_datetime(due.created_at)
        mail["Message-ID"] = f"<{due.id}@{self._address.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        bodies = (_text(letter.text, "plain"), _text(letter.html, "html"))
        mail.attach(MIMEMultipart("alternative", "=_alternative", bodies))
        entry = calendar_entry(due, names, self._address)
        if entry:
            mail.attach(_attached(entry))
        return mail.as_bytes(policy=_AS_SENT)

    async def send(self, composed: bytes, person: Person) -> Result:
        """Sent when the mail server has taken the mail for the person's address. One that refuses us, and not the
        address, is tried again like one that is down."""
        try:
            return await self._hand_over(composed, wire_address(person.email))
        except aiosmtplib.SMTPRecipientsRefused as fault:
            (refused,) = fault.recipients
            if _is_of_the_address(refused):
                return Refused(f"recipient refused: {refused.code}")
            return TryAgain(type(fault).__name__)
        except aiosmtplib.SMTPException as fault:
            if isinstance(fault, aiosmtplib.SMTPDataError) and _is_of_the_address(fault):
                return Refused(f"mail refused: {fault.code}")
            return TryAgain(type(fault).__name__)

    async def _hand_over(self, mail: bytes, address: str) -> Result:
        client = await self._connected()
        try:
            await client.sendmail(self._address, address, mail, mail_options=() if address.isascii() else ("SMTPUTF8",))
        except aiosmtplib.SMTPNotSupported:
            client.close()
            return Refused("the mail server does not offer SMTPUTF8")
        except BaseException:
            client.close()
            raise
        self._idle.append((client, time.monotonic()))
        return Sent()

    async def _connected(self) -> aiosmtplib.SMTP:
        """A connection that has just served, or a new one. Servers close those that are idle for long."""
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and time.monotonic() - since < _IDLE_SECONDS:
                return client
            client.close()
        client = self._client()
        await client.connect()
        return client

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            local_hostname=self._address.rpartition("@")[2],
            timeout=_SMTP_SECONDS,
        )


def _is_of_the_address(refused: aiosmtplib.SMTPResponseException) -> bool:
    """A code of three digits is given for a mail relay's policy too; the enhanced one beside it tells them apart."""
    if refused.code < 500:
        return False
    if enhanced := _ENHANCED.search(refused.message):
        return enhanced[1] in _ENHANCED_OF_AN_ADDRESS
    return refused.code in _OF_AN_ADDRESS and not _OF_US.search(refused.message)


def _text(text: str, subtype: str, **parameters: str) -> MIMENonMultipart:
    """Encoded whatever it holds: as it is, a line could be longer than mail servers take."""
    part = MIMENonMultipart("text", subtype, policy=None, charset="utf-8", **parameters)
    part.set_payload(text.encode())
    encode_base64(part)
    return part


def _attached(entry: CalendarEntry) -> MIMENonMultipart:
    attachment = _text(entry.text, "calendar", method=entry.method)
    attachment.add_header("Content-Disposition", "attachment", filename="appointment.ics")
    return attachment
