"""nats-server with JetStream on disk; a user of its own for every service."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.layout import SERVICES, Layout, write_private
from devstack.nats_access import may_publish, may_subscribe
from devstack.part import Part, answers_http
from devstack.secrets import Secrets

OPERATOR = "operator"
"""The user who may do everything: for people and tests, never for a service."""


@dataclass(frozen=True)
class Nats:
    """The broker of one stack."""

    layout: Layout
    secrets: Secrets
    port: int
    monitor_port: int

    def part(self) -> Part:
        return Part(
            name="nats",
            argv=[nats_server(), "-c", self._config],
            ready=answers_http(f"http://127.0.0.1:{self.monitor_port}/healthz"),
            address=self.url,
            prepare=self._write_config,
            stop_rank=3,
        )

    @property
    def url(self) -> str:
        """Without credentials: every service brings its own."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def operator_url(self) -> str:
        return f"nats://{OPERATOR}:{self.secrets.operator_password()}@127.0.0.1:{self.port}"

    def service_url(self, service: str) -> str:
        """With the credentials of a service, as that service would connect."""
        return f"nats://{service}:{self.secrets.nats_password(service)}@127.0.0.1:{self.port}"

    @property
    def _config(self) -> Path:
        return self.layout.nats / "nats.conf"

    async def _write_config(self) -> None:
        write_private(self._config, json.dumps(self._settings(), indent=2) + "\n")

    def _settings(self) -> dict[str, Any]:
        """The server's configuration: its format is a superset of JSON."""
        return {
            "server_name": "petpro-dev",
            "host": "127.0.0.1",
            "port": self.port,
            "http": f"127.0.0.1:{self.monitor_port}",
            "jetstream": {"store_dir": str(self.layout.nats / "data"), "max_file_store": 8 << 30},
            "max_payload": 1 << 20,
            "authorization": {"users": [*(self._user(service) for service in SERVICES), self._operator()]},
        }

    def _user(self, service: str) -> dict[str, Any]:
        return {
            "user": service,
            "password": self.secrets.nats_password(service),
            "permissions": {
                "publish": {"allow": may_publish(service)},
                "subscribe": {"allow": may_subscribe(service)},
            },
        }

    def _operator(self) -> dict[str, Any]:
        return {"user": OPERATOR, "password": self.secrets.operator_password()}


def nats_server() -> str:
    """The program. Raises FileNotFoundError."""
    beside_python = Path(sys.executable).with_name("nats-server")
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is not installed: run `make setup`")
    return found
