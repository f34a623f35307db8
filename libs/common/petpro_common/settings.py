"""Settings come from the environment, secrets from files; both are read at start, and the database's password again
with each connection: whoever gives out passwords changes the role's at once, and restarts nobody."""

import os
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SecretStr


class EnvironmentSettings(BaseModel):
    """What is told from outside, to a service or to a part of one.

    A subclass names the `service`; its fields are then read from `PETPRO_<SERVICE>_<FIELD>`, and its secrets from
    files named `petpro_<service>_<field>` in the folder `PETPRO_<SERVICE>_SECRETS_DIR`. The environment goes first.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # an error must not tell the other secrets
    service: ClassVar[str]

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Reads environment and secret files. Raises pydantic's ValidationError, naming every missing setting."""
        prefix = f"petpro_{cls.service}_"
        told = {field: _told(prefix + field, _folder(cls.service)) for field in cls.model_fields}
        return cls.model_validate({field: value for field, value in told.items() if value is not None} | overrides)

    def secret_now(self, field: str) -> str:
        """A secret as it is told now, or as it was at the start where nothing tells it any more."""
        told = _told(f"petpro_{self.service}_{field}", _folder(self.service))
        at_start: SecretStr = getattr(self, field)
        return at_start.get_secret_value() if told is None else told


class ServiceSettings(EnvironmentSettings):
    """What every service is told.

    `database_session_url`: where `database_url` leads to a pooler that hands out connections by the transaction, the
    server itself: for what keeps a connection to itself (the relay's lock and its LISTEN, migrations).

    `tls_folder`: where the certificate is that services prove themselves by to each other (see `tls`), and to NATS
    where `nats_url` begins with `tls://`; empty, services speak in clear text. With one, `probe_address` answers
    health alone, in clear text, for probes that know no certificate.

    `outbox_limit`: with so many messages waiting to leave, new work is refused. Half a million are about half a
    gigabyte of table and indexes, nearly three hours without a broker at 50 messages a second, and two minutes of
    publishing afterwards.

    `drain_seconds`: how long after SIGTERM calls and messages in hand may take. `stop_seconds`: how long all that is in
    hand may, also what workers ask of others outside: `drain_seconds` and the longest such call, and some more to write
    down what came of it. Whoever runs the process must leave it longer than that.

    `kill_at` and `kill_on` are for tests alone: see `kill_points`.
    """

    grpc_address: str
    metrics_address: str
    probe_address: str = ""
    tls_folder: str = ""
    database_url: str
    database_session_url: str = ""
    database_password: SecretStr
    database_pool_size: int = 10
    plans_by_key: bool = True
    nats_url: str
    nats_password: SecretStr
    nats_replicas: int = 1
    outbox_limit: int = 500_000
    account_address: str
    service_jwks_file: Path
    service_key: SecretStr
    log_level: str = "info"
    most_calls: int = 256
    most_streams: int = 1000
    drain_seconds: float = 5.0
    stop_seconds: float = 35.0
    otlp_endpoint: str | None = None
    kill_at: str = ""
    kill_on: int = 1

    def database_password_now(self) -> str:
        """The database's password as its file says now."""
        return self.secret_now("database_password")


def _folder(service: str) -> str | None:
    """Where the files of a service's secrets are."""
    return os.environ.get(f"petpro_{service}_secrets_dir".upper())


def _told(name: str, folder: str | None) -> str | None:
    """What the environment or a secret file says; None when neither does."""
    value = os.environ.get(name.upper())
    if value is None and folder and (file := Path(folder, name)).is_file():
        value = file.read_text().strip()
    return value
