"""The auditor as tests call it, on a stack of theirs."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx

from devstack.api import NO_TLS
from devstack.running import RunningStack
from petproctl.audit.look import Databases, Scope
from petproctl.audit.provider import Sandbox
from petproctl.audit.run import Report, audit


def look_over(stack: RunningStack, grace: float = 1, pause: float = 0) -> Report:
    """One audit of the whole stack; `grace` and `pause` in seconds."""
    endpoints = stack.endpoints
    key = (Path(endpoints["secrets"]) / "payment" / "petpro_payment_sandbox_api_key").read_text().strip()
    with ExitStack() as open_things:
        client = httpx.Client(
            base_url=endpoints["sandbox"]["url"], headers={"Authorization": f"Bearer {key}"}, verify=NO_TLS
        )
        open_things.enter_context(client)
        databases = Databases({name: said["dsn"] for name, said in endpoints["services"].items()}, open_things)
        scope = Scope(None, timedelta(seconds=grace), batch=7)
        return audit(databases, Sandbox(client), scope, pause=timedelta(seconds=pause))


def named(report: Report) -> set[tuple[str, str]]:
    """Invariant and subject of each violation."""
    return {(violation.invariant, violation.subject) for violation in report.violations}
