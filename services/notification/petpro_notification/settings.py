"""What the notification service is told at start."""

from email.utils import parseaddr
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from petpro_common.rpc import LONGEST_STREAM_SECONDS
from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment PETPRO_NOTIFICATION_*; see ServiceSettings. All durations are in seconds.

    `password_reset_page` is where the app asks for a new password, `email_verification_page` where it says that an
    address is verified. The token is put behind a #: browsers keep that to themselves, and https keeps others from
    changing the page that reads it.

    `sms` is who sends them; empty, none is sent. Pushes go to apps with `fcm`, to browsers with `web_push`. Each of the
    three reads settings of its own. A browser names the push service that we are to call: it must be one of
    `web_push_hosts`, names with commas between, or we would call whatever somebody else wants us to.
    """

    service: ClassVar[str] = "notification"

    catalog_address: str
    smtp_host: str
    smtp_port: int
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    mail_from: str
    password_reset_page: str = Field(pattern=r"^https://[^\s#]+$")
    email_verification_page: str = Field(pattern=r"^https://[^\s#]+$")
    language: Literal["en", "id"] = "en"
    sms: Literal["", "twilio"] = ""
    fcm: bool = False
    web_push: bool = False
    web_push_hosts: str = (
        "fcm.googleapis.com,updates.push.services.mozilla.com,web.push.apple.com,*.push.apple.com,*.notify.windows.com"
    )
    stream_heartbeat_seconds: float = Field(default=20.0, gt=0, le=45)
    stream_longest_seconds: float = Field(default=240.0, gt=0, le=LONGEST_STREAM_SECONDS - 10)
    stream_most_per_person: int = Field(default=10, ge=1)
    delivery_poll_seconds: float = Field(default=0.5, gt=0)
    delivery_gather_seconds: float = Field(default=0.1, ge=0)
    delivery_lease_seconds: float = Field(default=60.0, gt=0)
    delivery_try_seconds: float = Field(default=25.0, gt=0)
    delivery_max_tries: int = Field(default=20, ge=1)
    delivery_first_pause_seconds: float = Field(default=2.0, gt=0)

    @field_validator("mail_from")
    @classmethod
    def _mails_come_from_an_address(cls, mail_from: str) -> str:
        """One outside ASCII would bind every mail to servers that offer SMTPUTF8."""
        _, address = parseaddr(mail_from)
        if "@" not in address or not address.isascii():
            raise ValueError("mail_from must hold an address, in ASCII (a domain as xn--...)")
        return mail_from

    @model_validator(mode="after")
    def _a_lease_outlasts_a_try(self) -> Self:
        """A shorter lease would let two workers send one slow mail."""
        if self.delivery_lease_seconds <= self.delivery_try_seconds:
            raise ValueError("delivery_lease_seconds must be more than delivery_try_seconds")
        return self

    @property
    def push_services(self) -> list[str]:
        """The hosts at which browsers may have us call."""
        return [host.strip().lower() for host in self.web_push_hosts.split(",") if host.strip()]
