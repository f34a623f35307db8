"""Where the parts of a platform are.

The first of these that there is:

1. the file that PETPROCTL_CONFIG names: JSON as a dev stack's `stack.json`, of which any part may be missing
   (`gateway_url`, `nats_url`, `services.<name>.metrics`, `services.<name>.dsn`, `sandbox.url`, ...)
2. the dev stack's own description, in the folder of `--run`
3. inside a Kubernetes cluster: the names of the Services, in one's own namespace
"""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Service(StrEnum):
    """Those with a database and messages of their own."""

    ACCOUNT = "account"
    CATALOG = "catalog"
    BOOKING = "booking"
    PAYMENT = "payment"
    NOTIFICATION = "notification"


CONFIG = "PETPROCTL_CONFIG"
_CLUSTER: Json = {
    "gateway_url": "http://petpro-gateway",
    "nats_url": "nats://nats:4222",
    # The names that lead to replicas that are not ready, too.
    "services": {name: {"metrics": f"http://petpro-replicas-{name}:9100/metrics"} for name in Service},
}


class Nowhere(Exception):
    """The message says what cannot be read."""


def platform(run: Path) -> Json:
    """What is known; nothing where nothing is. Raises Nowhere when a file cannot be read."""
    config = os.environ.get(CONFIG)
    file = Path(config) if config else run / "stack.json"
    if config or file.exists():
        try:
            return dict(json.loads(file.read_text()))
        except (OSError, ValueError) as fault:
            raise Nowhere(f"{file} cannot be read: {fault}") from fault
    return _CLUSTER if "KUBERNETES_SERVICE_HOST" in os.environ else {}


def dsns(known: Json, given: list[str]) -> dict[str, str]:
    """The databases by service, the nearest first: SERVICE=URL as given, PETPRO_AUDIT_<SERVICE>_DSN, what is known.

    Raises Nowhere when one is given that is not written so.
    """
    found = {name: said["dsn"] for name, said in known.get("services", {}).items() if "dsn" in said}
    for service in Service:
        if told := os.environ.get(f"PETPRO_AUDIT_{service.upper()}_DSN"):
            found[service] = told
    for each in given:
        name, _, url = each.partition("=")
        if name not in set(Service) or not url:
            raise Nowhere(f"--dsn takes SERVICE=URL, and SERVICE is one of {', '.join(Service)}")
        found[name] = url
    return found
