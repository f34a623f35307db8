"""Runs invariants: finds suspects, and looks at them again until only what stands is left."""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice

from petproctl.audit import bookings, charges, days, events, journal, ledger, movements, sagas, seats
from petproctl.audit.databases import CannotLook, Databases
from petproctl.audit.lists import Lists
from petproctl.audit.look import Look, Scope, Tally
from petproctl.audit.model import INVARIANTS, PAUSE, Findings, Invariant, Violation
from petproctl.audit.provider import Provider, ProviderAway

CHECKED = (seats, bookings, ledger, journal, charges, days, movements, sagas, events)
"""The modules that register the invariants."""

AGAIN = 2
"""How often a suspect is looked at again."""

MOST = 1000
"""How many suspects of one invariant are followed up at a time; the rest waits until none of these has stood."""

OVERLAP = timedelta(seconds=60)
"""How long a transaction may take from its stamp to its commit, and how far the clocks of two servers may differ."""

_WAITING = {
    "parked sagas": ("booking", "SELECT count(*) FROM sagas WHERE status = 'parked'"),
    "manual refunds": ("payment", "SELECT count(*) FROM refunds WHERE status = 'manual'"),
    "reversed refunds": ("payment", "SELECT count(*) FROM refunds WHERE status = 'manual' AND reversed_at IS NOT NULL"),
    "quarantined payments": (
        "payment",
        """
        SELECT count(*) FROM payments WHERE quarantined_at IS NOT NULL AND quarantine_closed_at IS NULL""",
    ),
    "mails given up": ("notification", "SELECT count(*) FROM deliveries WHERE status = 'failed'"),
}


@dataclass
class Outcome:
    """What became of one invariant. `is_cut` says that suspects are left which nobody has followed up."""

    invariant: Invariant
    findings: Iterator[tuple[str, str]]
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0
    standing: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False

    @property
    def unsettled(self) -> tuple[str, ...]:
        """What the next run has to look at, whether it changes or not: subjects that stand or were postponed."""
        return tuple(sorted(self.tally.postponed | self.standing.keys()))


@dataclass(frozen=True)
class Report:
    """What an audit found. `until` is where the next one may begin: all that changed before has been looked at."""

    until: datetime
    seconds: float
    outcomes: tuple[Outcome, ...]
    waiting: dict[str, int]
    """What is no violation, and waits for a person."""

    @property
    def violations(self) -> list[Violation]:
        """By promise."""
        found = [
            Violation(each.invariant.name, each.invariant.number, subject, detail)
            for each in self.outcomes
            for subject, detail in each.standing.items()
        ]
        return sorted(found, key=lambda one: one.number)


def audit(
    databases: Databases,
    provider: Provider,
    scope: Scope,
    only: Collection[str] = (),
    pause: timedelta = PAUSE,
    unsettled: Mapping[str, tuple[str, ...]] | None = None,
    lists: Lists | None = None,
) -> Report:
    """Looks at everything in scope, and at what an earlier run could not settle. Raises CannotLook."""
    began = time.monotonic()
    look = Look(databases, provider, scope, lists)
    chosen = [each for each in INVARIANTS.values() if not only or each.name in only]
    try:
        until = databases.rows("booking", "SELECT CURRENT_TIMESTAMP - %(grace)s AS at", {"grace": scope.grace})[0]["at"]
        outcomes = tuple(_begin(each, look, (unsettled or {}).get(each.name, ())) for each in chosen)
        _follow_up(outcomes, look, pause)
        waiting = {name: databases.rows(where, count, {})[0]["count"] for name, (where, count) in _WAITING.items()}
    except ProviderAway as away:
        raise CannotLook(str(away)) from away
    return Report(until - OVERLAP, time.monotonic() - began, outcomes, waiting)


def _begin(invariant: Invariant, look: Look, unsettled: tuple[str, ...]) -> Outcome:
    """Nothing is read yet. A run over everything meets what was unsettled anyway."""
    tally = Tally()
    look = replace(look, tally=tally)
    findings: Findings = invariant.check(look)
    if unsettled and look.scope.since is not None:
        findings = chain(findings, invariant.check(replace(look, only=unsettled)))
    return Outcome(invariant, findings, tally)


def _follow_up(outcomes: tuple[Outcome, ...], look: Look, pause: timedelta) -> None:
    """All invariants share the pauses. One with more suspects than MOST goes on until some stand."""
    open_ones = outcomes
    while open_ones:
        found = [_suspects(each) for each in open_ones]
        for _ in range(AGAIN):
            if any(found):
                time.sleep(pause.total_seconds())
            found = [_still(each, look, suspects) for each, suspects in zip(open_ones, found, strict=True)]
        for each, standing in zip(open_ones, found, strict=True):
            each.standing = standing
        open_ones = tuple(each for each in open_ones if each.is_cut and not each.standing)


def _suspects(outcome: Outcome) -> dict[str, str]:
    began = time.monotonic()
    found = dict(islice(outcome.findings, MOST))
    outcome.is_cut = len(found) == MOST
    outcome.seconds += time.monotonic() - began
    return found


def _still(outcome: Outcome, look: Look, suspects: dict[str, str]) -> dict[str, str]:
    if not suspects:
        return {}
    began = time.monotonic()
    now = dict(outcome.invariant.check(replace(look, only=tuple(suspects), tally=outcome.tally)))
    outcome.seconds += time.monotonic() - began
    return {subject: detail for subject, detail in now.items() if subject in suspects}
