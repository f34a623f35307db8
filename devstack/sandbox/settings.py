"""What the sandbox is told from outside."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Timings:
    """How long things take, in seconds. A test value may carry its own delay (`tok_processing:2.5`)."""

    settle: float = 0.1
    """A processing payment or an accepted refund reaches its end."""
    slow: float = 3.0
    """A slow refund reaches its end."""
    late: float = 2.0
    """A late webhook leaves."""
    retry: float = 0.2
    """The first pause before a webhook is tried again; it doubles, with jitter."""
    retry_limit: float = 5.0
    """The longest pause between two tries."""


class Settings(BaseModel):
    """Environment `PETPRO_SANDBOX_*`; the two secrets are files."""

    model_config = ConfigDict(frozen=True)

    address: str = Field(pattern=r"^[^:]+:\d+$")
    """host:port to listen on."""
    state: Path
    """The folder of the database file; made when missing."""
    api_key_file: Path
    webhook_secret_file: Path
    webhook_url: str
    """Where events are POSTed."""
    settle_seconds: float = Field(Timings.settle, ge=0)
    slow_seconds: float = Field(Timings.slow, ge=0)
    late_seconds: float = Field(Timings.late, ge=0)
    retry_seconds: float = Field(Timings.retry, gt=0)
    retry_limit_seconds: float = Field(Timings.retry_limit, gt=0)

    @classmethod
    def load(cls) -> Self:
        """Reads the environment. Raises pydantic's ValidationError, naming every missing setting."""
        named = {field: f"PETPRO_SANDBOX_{field}".upper() for field in cls.model_fields}
        return cls.model_validate({field: os.environ[name] for field, name in named.items() if name in os.environ})

    @property
    def timings(self) -> Timings:
        return Timings(
            settle=self.settle_seconds,
            slow=self.slow_seconds,
            late=self.late_seconds,
            retry=self.retry_seconds,
            retry_limit=self.retry_limit_seconds,
        )

    @property
    def api_key(self) -> str:
        return self.api_key_file.read_text().strip()

    @property
    def webhook_secret(self) -> bytes:
        return self.webhook_secret_file.read_text().strip().encode()
