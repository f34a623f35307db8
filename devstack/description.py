"""What `.run/stack.json` says: every endpoint of a running stack. It holds passwords."""

import os
from collections.abc import Mapping
from typing import Any

from devstack import gateway
from devstack.layout import SERVICES
from devstack.secrets import PEOPLE
from devstack.services import Surroundings
from devstack.supervised import Supervised


def describe(around: Surroundings, parts: Mapping[str, Supervised], control: str | None) -> dict[str, Any]:
    """The endpoints of the stack as they are now; process ids are null for parts that are down."""
    pids = {name: part.pid for name, part in parts.items()}
    return {
        "gateway_url": gateway.url(around),
        "nats_url": around.nats.url,
        "services": {name: _service(around, name, pids.get(name)) for name in SERVICES if name in parts},
        "postgres": {"pid": pids.get("postgres"), "dsn": around.postgres.superuser_url()},
        "nats": {"pid": pids.get("nats"), "operator_url": around.nats.operator_url},
        "gateway": {
            "pid": pids.get("gateway"),
            "admin_url": f"http://{around.ports.address('gateway.admin')}",
        },
        "sandbox": {"pid": pids.get("sandbox"), "url": f"http://{around.ports.address('sandbox')}"},
        "mail": {
            "pid": pids.get("mail"),
            "folder": str(around.layout.mail),
            "address": around.ports.address("mail"),
        },
        "users": {who: around.secrets.person(who) for who in PEOPLE},
        "supervisor": {"pid": os.getpid()},
        "control": control,
        "secrets": str(around.layout.secrets),
        "logs": str(around.layout.logs),
        "parts": {name: _part(part) for name, part in parts.items()},
    }


def _service(around: Surroundings, service: str, pid: int | None) -> dict[str, Any]:
    return {
        "grpc": around.grpc_address(service),
        "metrics": f"http://{around.metrics_address(service)}/metrics",
        "dsn": around.postgres.service_url(service),
        "pid": pid,
    }


def _part(part: Supervised) -> dict[str, Any]:
    return {"state": part.state, "pid": part.pid, "address": part.part.address, "log": str(part.log)}
