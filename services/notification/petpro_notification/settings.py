"""What the notification service is told at start."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from petpro_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment PETPRO_NOTIFICATION_*; see ServiceSettings. All durations are in seconds."""

    service: ClassVar[str] = "notification"

    catalog_address: str
    smtp_host: str
    smtp_port: int
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    mail_from: str
    language: Literal["en", "id"] = "en"
    delivery_poll_seconds: float = Field(default=0.5, gt=0)
    # Longer than one try can last, or a slow mail would be sent twice.
    delivery_lease_seconds: float = Field(default=60.0, gt=0)
    delivery_try_seconds: float = Field(default=25.0, gt=0)
    delivery_max_tries: int = Field(default=20, ge=1)
    delivery_first_pause_seconds: float = Field(default=2.0, gt=0)
