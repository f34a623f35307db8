"""Where a stack keeps its things: one folder, `.run/` by default."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

SERVICES = ("account", "catalog", "booking", "payment", "notification")
"""The services that own a database and speak gRPC."""


@dataclass(frozen=True)
class Layout:
    """The paths of one stack."""

    run: Path

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def secrets(self) -> Path:
        return self.run / "secrets"

    @property
    def service_jwks(self) -> Path:
        """The public keys by which services know each other's calls."""
        return self.run / "service-jwks.json"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"

    @property
    def postgres(self) -> Path:
        return self.run / "postgres"

    @property
    def nats(self) -> Path:
        return self.run / "nats"

    @property
    def mail(self) -> Path:
        """Every mail that went out, one `.eml` file each."""
        return self.run / "mail"

    @property
    def sandbox(self) -> Path:
        return self.run / "sandbox"

    @property
    def envoy_config(self) -> Path:
        return self.run / "envoy.yaml"

    @property
    def description(self) -> Path:
        """Every endpoint of the running stack, for people, tests and `petproctl`."""
        return self.run / "stack.json"

    @property
    def supervisor_lock(self) -> Path:
        return self.run / "supervisor.lock"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def prepare(self) -> None:
        """Make the folders that the stack itself writes to, closed to other people."""
        self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.logs, self.secrets, self.nats, self.mail, self.sandbox):
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)


def write_private_json(path: Path, value: Any) -> None:
    """Write JSON that only its owner can read, whole or not at all."""
    write_private(path, json.dumps(value, indent=2) + "\n")
