"""`python -m deploy.make_secrets --namespace petpro | kubectl create -f -`: every secret that PetPro needs, made anew.

Nothing is kept here: what `kubectl create` has not stored is gone. It refuses to overwrite, so a second run by mistake
changes nothing. Where a store of secrets exists, this shows which objects and keys it has to provide.

What others give, for the store of backups, the mail relay, senders and payment providers, cannot be made: `--given
FOLDER` takes each from a file FOLDER/SECRET/KEY, such as petpro-backups/access_key_id. Without its folder such a Secret
is left out.
"""

import argparse
import base64
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from devstack.layout import SERVICES, Layout
from devstack.secrets import Secrets

Manifest = dict[str, Any]
GIVEN = {
    "petpro-backups": ("access_key_id", "secret_access_key"),
    "petpro-notification-smtp": ("password",),
    "petpro-notification-twilio": ("key",),
    "petpro-notification-fcm": ("account",),
    "petpro-notification-web-push": ("key",),
    "petpro-payment-stripe": ("secret_key", "webhook_secret"),
    "petpro-payment-xendit": ("secret_key", "callback_token"),
    "petpro-payment-midtrans": ("server_key",),
}
"""Secrets whose values others give, and their keys."""


def given(namespace: str, folder: Path) -> list[Manifest]:
    """The GIVEN Secrets that have a folder there. Raises FileNotFoundError when such a folder lacks a key."""
    return [
        _in(namespace, _secret(name, {key: (folder / name / key).read_text().strip() for key in keys}))
        for name, keys in GIVEN.items()
        if (folder / name).is_dir()
    ]


def objects(namespace: str) -> list[Manifest]:
    """The Secrets that can be made, and the ConfigMap with the public keys by which services know each other."""
    with TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "made")
        layout.prepare()
        secrets = Secrets(layout)
        secrets.make_all()
        return [_in(namespace, manifest) for manifest in _objects(layout, secrets)]


def _objects(layout: Layout, secrets: Secrets) -> Iterator[Manifest]:
    for service in SERVICES:
        yield _secret(f"petpro-{service}", _own_files(secrets.folder(service), service))
        yield _account(f"petpro-{service}-database", f"petpro_{service}", secrets.database_password(service))
        yield _account(f"petpro-{service}-nats", service, _for_nats(secrets.nats_password(service)))
    yield _account("petpro-auditor-database", "petpro_auditor", token_urlsafe(32))
    yield _account("petpro-operator-nats", "operator", _for_nats(secrets.operator_password()))
    yield _account("petpro-postgres", "postgres", secrets.superuser_password().read_text())
    keys = json.loads(layout.service_jwks.read_text())
    yield {
        **_object("ConfigMap", "petpro-service-keys"),
        "data": {"service-jwks.json": json.dumps(keys, indent=2)},
    }


def _own_files(folder: Path, service: str) -> dict[str, str]:
    """What the service has beyond its accounts on the database and on NATS; the keys are its settings' names."""
    prefix = f"petpro_{service}_"
    files = {file.name.removeprefix(prefix): file.read_text() for file in sorted(folder.iterdir())}
    return {name: text for name, text in files.items() if name not in ("database_password", "nats_password")}


def _for_nats(password: str) -> str:
    """Beginning with a letter: nats-server reads what begins with a digit as a number."""
    return f"n{password}"


def _account(name: str, user: str, password: str) -> Manifest:
    # The label has CloudNativePG change the role's password when this object changes.
    manifest = _secret(name, {"username": user, "password": password}, "kubernetes.io/basic-auth")
    manifest["metadata"]["labels"]["cnpg.io/reload"] = "true"
    return manifest


def _secret(name: str, values: Mapping[str, str], kind: str = "Opaque") -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {**_object("Secret", name), "type": kind, "data": encoded}


def _object(kind: str, name: str) -> Manifest:
    labels = {"app.kubernetes.io/part-of": "petpro"}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}}


def _in(namespace: str, manifest: Manifest) -> Manifest:
    manifest["metadata"]["namespace"] = namespace
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespace", default="petpro")
    parser.add_argument("--given", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    taken = given(arguments.namespace, arguments.given) if arguments.given else []
    yaml.safe_dump_all(objects(arguments.namespace) + taken, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
