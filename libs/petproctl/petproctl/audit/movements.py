"""Promise 3, day by day, of providers whose list only payment can read: what they took and gave back is what we say.

A day is one in UTC. What is fresh, under way or quarantined is left out by name. A provider that cannot list tells
nothing of money that only it knows of.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from petproctl.audit.charges import SAME, was_tried_again
from petproctl.audit.databases import Row
from petproctl.audit.lists import Moved
from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant
from petproctl.audit.provider import LISTED

_DAY = timedelta(days=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_CAPTURES: LiteralString = """
    SELECT p.id::text AS reference, p.provider, p.paid_at AS at, p.paid_at AS begun, p.currency, p.status,
        p.captured AS amount, coalesce(journal.captured, 0.00) AS journal,
        p.status IN ('pending', 'processing') OR p.quarantined_at IS NOT NULL AS is_left_out,
        p.updated_at > CURRENT_TIMESTAMP - %(grace)s AS is_moving
    FROM payments p
    LEFT JOIN LATERAL (
        SELECT sum(l.amount) AS captured
        FROM journal_transactions t JOIN journal_lines l ON l.transaction_id = t.id AND l.account = 'provider_clearing'
        WHERE t.source_id = p.id AND t.kind = 'capture' AND t.currency = p.currency
    ) AS journal ON true
"""
_REFUNDS: LiteralString = """
    SELECT r.id::text AS reference, p.provider, r.updated_at AS at, r.created_at AS begun, r.currency, r.amount,
        CASE WHEN r.paid_out_reference IS NULL THEN r.status ELSE 'manual' END AS status, r.retries,
        r.external_reference, false AS is_left_out,
        r.updated_at > CURRENT_TIMESTAMP - %(grace)s AS is_moving
    FROM refunds r JOIN payments p ON p.id = r.payment_id
"""


@dataclass(frozen=True)
class Side:
    """How one kind of movement is read and compared. `difference` is empty where both say the same."""

    kind: str
    providers: LiteralString
    rows: LiteralString
    within: LiteralString
    these: LiteralString
    difference: Callable[[Moved | None, Row | None], str]


def _of_capture(theirs: Moved | None, ours: Row | None) -> str:
    told = "nothing" if theirs is None else "something"
    if theirs and theirs.amount is not None:
        told = f"{theirs.currency} {theirs.amount:.2f}"
    said = [f"{ours['currency']} {ours[side]:.2f}" if ours else "nothing" for side in ("amount", "journal")]
    return "" if {told} == set(said) else f"it took {told}; payments: {said[0]}; the journal: {said[1]}"


def _of_refund(theirs: Moved | None, ours: Row | None) -> str:
    said = f"our refund of {ours['amount']} is {ours['status']}" if ours else "no refund of ours"
    if theirs is None:
        return f"it gave nothing back; {said}" if ours and ours["status"] == "succeeded" else ""
    if ours and theirs.state == "failed" and was_tried_again(ours, theirs.external_reference):
        return ""
    is_same = ours and ours["status"] in SAME[theirs.state] and theirs.amount in (None, ours["amount"])
    return "" if is_same else f"it gives {theirs.amount or 'something'} back, {theirs.state}; {said}"


_OF_CAPTURES = Side(
    "CAPTURE",
    """SELECT provider, min(paid_at) AS first FROM payments WHERE captured > 0 AND paid_at >= %(since)s
        GROUP BY provider""",
    _CAPTURES,
    " WHERE p.provider = %(provider)s AND p.captured > 0 AND p.paid_at >= %(begins)s AND p.paid_at < %(ends)s",
    " WHERE p.id = ANY(%(ids)s)",
    _of_capture,
)
_OF_REFUNDS = Side(
    "REFUND",
    """SELECT p.provider, min(r.updated_at) AS first FROM refunds r JOIN payments p ON p.id = r.payment_id
        WHERE r.updated_at >= %(since)s GROUP BY p.provider""",
    _REFUNDS,
    " WHERE p.provider = %(provider)s AND r.updated_at >= %(begins)s AND r.updated_at < %(ends)s",
    " WHERE r.id = ANY(%(ids)s)",
    _of_refund,
)


@invariant(3)
def captures_agree_with_lists(look: Look) -> Findings:
    """What any other provider than the sandbox took on a day is what payments and the journal have."""
    return _all(look, _OF_CAPTURES)


@invariant(3)
def refunds_agree_with_lists(look: Look) -> Findings:
    """What any other provider than the sandbox gave back on a day are refunds of ours that stand the same."""
    return _all(look, _OF_REFUNDS)


def _all(look: Look, side: Side) -> Findings:
    if look.lists is None:
        return
    for provider, day in sorted(_days(look, side)):
        for subject, detail in _of_day(look, side, provider, day):
            if look.only is None or subject in look.only:
                yield subject, f"{provider}, {day}: {detail}"


def _days(look: Look, side: Side) -> Iterator[tuple[str, date]]:
    if look.only is not None:
        named = [subject.split(" ", 2) for subject in look.only]
        known = _rows(look, side, side.these, ids=_uuids(each[0] for each in named))
        yield from {(row["provider"], _day(row["at"])) for row in known}
        yield from {(each[0], date.fromisoformat(each[1])) for each in named if len(each) > 1}
        return
    since = _bounds(_day(look.scope.since))[0] if look.scope.since else _EVER
    for row in look.rows("payment", side.providers, since=since):
        first, last = _day(row["first"]), _day(datetime.now(UTC))
        if row["provider"] != LISTED:
            yield from ((row["provider"], first + n * _DAY) for n in range((last - first).days + 1))


def _of_day(look: Look, side: Side, provider: str, day: date) -> Findings:
    """Ours of the day beside theirs. What they lack on that day, they may have on another."""
    begins, ends = _bounds(day)
    theirs = _told(look, side, provider, begins, ends)
    if theirs is None:
        return
    then = _rows(look, side, side.within, provider=provider, begins=begins, ends=ends)
    ours = {row["reference"]: row for row in then}
    others = _rows(look, side, side.these, ids=_uuids(theirs.keys() - ours.keys()))
    ours |= {row["reference"]: row for row in others if row["provider"] == provider}
    missing = [row for reference, row in ours.items() if reference not in theirs and side.difference(None, row)]
    if missing:
        around = _told(look, side, provider, min(row["begun"] for row in missing) - _DAY, ends + _DAY) or {}
        theirs |= {row["reference"]: around[row["reference"]] for row in missing if row["reference"] in around}
    look.tally.rows += len(theirs)
    for reference in sorted({*ours, *theirs}):
        row, told = ours.get(reference), theirs.get(reference)
        detail = side.difference(told, row)
        if not detail or (row and row["is_left_out"]) or (told and _is_fresh(look, told)):
            continue
        if row and row["is_moving"]:
            look.postpone(reference)
        else:
            yield reference if row else f"{provider} {day} {reference}", detail


def _told(look: Look, side: Side, provider: str, begins: datetime, ends: datetime) -> dict[str, Moved] | None:
    """By reference; None of a provider that nobody can ask any more. What was taken or given twice is summed."""
    moved = look.lists.moved(provider, side.kind, begins, ends) if look.lists else None
    if moved is None:
        return None
    by_reference: dict[str, list[Moved]] = defaultdict(list)
    for each in moved:
        by_reference[each.reference].append(each)
    return {reference: _sum(told) for reference, told in by_reference.items()}


def _sum(told: list[Moved]) -> Moved:
    """A refund that failed, and was then made again, is the one that was made."""
    standing = [each for each in told if each.state != "failed"] or told[-1:]
    amounts = [each.amount for each in standing if each.amount is not None]
    return replace(standing[-1], amount=sum(amounts, Decimal(0)) if amounts else None)


def _rows(look: Look, side: Side, which: LiteralString, **values: Any) -> list[Row]:
    return look.rows("payment", side.rows + which, grace=look.scope.grace, **values)


def _uuids(references: Iterable[str]) -> list[UUID]:
    """Those that are ids of ours at all."""
    found = []
    for each in references:
        try:
            found.append(UUID(each))
        except ValueError:
            continue
    return found


def _is_fresh(look: Look, told: Moved) -> bool:
    return told.at is not None and told.at > datetime.now(UTC) - look.scope.grace


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _bounds(day: date) -> tuple[datetime, datetime]:
    begins = datetime.combine(day, time(), UTC)
    return begins, begins + _DAY
