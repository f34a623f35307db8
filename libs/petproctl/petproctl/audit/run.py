"""Runs invariants: finds suspects, and looks at them again until only what stands is left."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from petproctl.audit import bookings, charges, events, ledger, sagas, seats
from petproctl.audit.look import CannotLook, Databases, Look, Scope
from petproctl.audit.model import INVARIANTS, PAUSE, Check, Invariant, Violation
from petproctl.audit.provider import Provider, ProviderAway

CHECKED = (seats, bookings, ledger, charges, sagas, events)
"""The modules that register the invariants."""

AGAIN = 2
"""How often a suspect is looked at again."""

MOST = 1000
"""How many suspects of one invariant are followed up in one run."""

_WAITING = {
    "parked sagas": ("booking", "SELECT count(*) FROM sagas WHERE status = 'parked'"),
    "manual refunds": ("payment", "SELECT count(*) FROM refunds WHERE status = 'manual'"),
    "quarantined payments": ("payment", "SELECT count(*) FROM payments WHERE quarantined_at IS NOT NULL"),
    "mails given up": ("notification", "SELECT count(*) FROM deliveries WHERE status = 'failed'"),
}


@dataclass(frozen=True)
class Report:
    """What an audit found. `until` is where the next one may begin (`--since`): all before that has been looked at."""

    until: datetime
    invariants: tuple[Invariant, ...]
    violations: tuple[Violation, ...]
    waiting: dict[str, int]
    """What is no violation, and waits for a person."""


def audit(
    databases: Databases,
    provider: Provider,
    scope: Scope,
    only: Collection[str] = (),
    pause: timedelta = PAUSE,
) -> Report:
    """Looks at everything in scope. Raises CannotLook."""
    chosen = tuple(each for each in INVARIANTS.values() if not only or each.name in only)
    look = Look(databases, provider, scope)
    try:
        until = databases.rows("booking", "SELECT CURRENT_TIMESTAMP - %(grace)s AS at", {"grace": scope.grace})[0]["at"]
        found = {each.name: _found(each.check, look) for each in chosen}
        for _ in range(AGAIN):
            found = _again(found, look, pause)
        waiting = {name: databases.rows(where, count, {})[0]["count"] for name, (where, count) in _WAITING.items()}
    except ProviderAway as away:
        raise CannotLook(str(away)) from away
    violations = [
        Violation(name, INVARIANTS[name].number, subject, detail)
        for name, subjects in found.items()
        for subject, detail in subjects.items()
    ]
    return Report(until, chosen, tuple(sorted(violations, key=lambda one: one.number)), waiting)


def _again(found: dict[str, dict[str, str]], look: Look, pause: timedelta) -> dict[str, dict[str, str]]:
    if any(found.values()):
        time.sleep(pause.total_seconds())
    kept = {}
    for name, subjects in found.items():
        now = _found(INVARIANTS[name].check, replace(look, only=tuple(subjects))) if subjects else {}
        kept[name] = {subject: detail for subject, detail in now.items() if subject in subjects}
    return kept


def _found(check: Check, look: Look) -> dict[str, str]:
    return dict(islice(check(look), MOST))
