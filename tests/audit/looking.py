"""The auditor as tests call it, on a stack of theirs."""

from collections.abc import Collection
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from devstack.api import NO_TLS
from devstack.running import RunningStack
from petproctl.audit.databases import Databases
from petproctl.audit.lists import Moved
from petproctl.audit.look import Scope
from petproctl.audit.provider import Sandbox
from petproctl.audit.run import Report, audit
from petproctl.audit.state import State

FROM_THE_BEGINNING = State()


def look_over(
    stack: RunningStack,
    grace: float = 1,
    pause: float = 0,
    last: State = FROM_THE_BEGINNING,
    only: Collection[str] = (),
    batch: int = 7,
) -> Report:
    """One audit of the whole stack; `grace` and `pause` in seconds, `last` is what an earlier one has left."""
    endpoints = stack.endpoints
    key = (Path(endpoints["secrets"]) / "payment" / "petpro_payment_sandbox_api_key").read_text().strip()
    with ExitStack() as open_things:
        client = httpx.Client(
            base_url=endpoints["sandbox"]["url"], headers={"Authorization": f"Bearer {key}"}, verify=NO_TLS
        )
        open_things.enter_context(client)
        databases = Databases({name: said["dsn"] for name, said in endpoints["services"].items()}, open_things)
        scope = Scope(last.since, timedelta(seconds=grace), batch=batch)
        return audit(databases, Sandbox(client), scope, only, timedelta(seconds=pause), last.unsettled, Empty())


class Empty:
    """Lists of other providers, which have taken nothing."""

    def moved(self, provider: str, kind: str, begins: datetime, ends: datetime) -> list[Moved]:
        return []


def named(report: Report) -> set[tuple[str, str]]:
    """Invariant and subject of each violation."""
    return {(violation.invariant, violation.subject) for violation in report.violations}
