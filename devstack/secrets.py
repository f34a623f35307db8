"""Every secret of a stack: made once, kept in files that only their owner reads, never in an environment."""

import json
import secrets as randomness
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import ECKey

from devstack.layout import SERVICES, Layout, write_private, write_private_json

PEOPLE = {
    "customer": "sari@petpro.example",
    "clinic_owner": "drh.wayan@petpro.example",
    "admin": "admin@petpro.example",
}
"""The people of the sample data, by what they are to PetPro."""


@dataclass(frozen=True)
class Secrets:
    """The secret files of one stack, each made when it is first asked for."""

    layout: Layout

    def make_all(self) -> None:
        """Make what is missing, so that every part finds its files."""
        for service in SERVICES:
            self.database_password(service)
            self.nats_password(service)
            self._file(service, f"petpro_{service}_service_key", _new_private_key)
        self._file("account", "petpro_account_signing_keys", _new_signing_keys)
        self.person("admin")
        self.sandbox_api_key()
        self.sandbox_webhook_secret()
        self._publish_service_keys()

    def folder(self, owner: str) -> Path:
        """The folder with one part's secrets and nobody else's."""
        path = self.layout.secrets / owner
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    def superuser_password(self) -> Path:
        return self._file("postgres", "superuser_password", _new_password)

    def operator_password(self) -> str:
        """Of the NATS user that may see and do everything, for people and tests."""
        return self._file("nats", "operator_password", _new_password).read_text()

    def database_password(self, service: str) -> str:
        return self._file(service, f"petpro_{service}_database_password", _new_password).read_text()

    def nats_password(self, service: str) -> str:
        return self._file(service, f"petpro_{service}_nats_password", _new_password).read_text()

    def sandbox_api_key(self) -> Path:
        return self._file("payment", "petpro_payment_sandbox_api_key", _new_password)

    def sandbox_webhook_secret(self) -> Path:
        return self._file("payment", "petpro_payment_sandbox_webhook_secret", _new_password)

    def person(self, who: str) -> dict[str, str]:
        """E-mail address and password of one of the `PEOPLE`."""
        admin = who == "admin"
        owner, name = ("account", "petpro_account_bootstrap_admin_password") if admin else ("people", who)
        return {"email": PEOPLE[who], "password": self._file(owner, name, _new_password).read_text()}

    def _file(self, owner: str, name: str, make: Callable[[], str]) -> Path:
        path = self.folder(owner) / name
        if not path.exists():
            write_private(path, make())
        return path

    def _publish_service_keys(self) -> None:
        keys = [_public_key(self.folder(service) / f"petpro_{service}_service_key", service) for service in SERVICES]
        write_private_json(self.layout.service_jwks, {"keys": keys})


def _new_password() -> str:
    return randomness.token_urlsafe(24)


def _new_private_key() -> str:
    return ECKey.generate_key("P-256").as_pem(private=True).decode()


def _new_signing_keys() -> str:
    """The keys with which account signs tokens: the first signs, all are published."""
    key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, auto_kid=True)
    return json.dumps([key.as_dict(private=True)])


def _public_key(file: Path, service: str) -> dict[str, object]:
    key = ECKey.import_key(file.read_text(), {"kid": service, "alg": "ES256", "use": "sig"})
    return dict(key.as_dict(private=False))
