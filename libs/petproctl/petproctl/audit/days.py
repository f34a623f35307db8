"""Promise 3, day by day: the provider's list, payments with their refunds, and the journal say the same of each day.

A day is one in UTC, and holds what was captured on it, with all that has been given back of that since. Each of the
three is first made one number for the day; only of days that differ are the captures compared by name.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import md5

from petproctl.audit.databases import Row
from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant
from petproctl.audit.provider import LISTED, Charge

_CAPTURED = """
    SELECT p.id::text AS reference, p.currency, p.captured, p.refund_done - coalesce(by_hand.amount, 0.00) AS gone,
        coalesce(journal.captured, 0.00) AS journal_captured, coalesce(journal.gone, 0.00) AS journal_gone,
        p.updated_at > CURRENT_TIMESTAMP - %(grace)s OR EXISTS (
            SELECT FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('submitted', 'pending')) AS is_moving
    FROM payments p
    LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM refunds r
        WHERE r.payment_id = p.id AND r.status = 'succeeded' AND r.paid_out_reference IS NOT NULL) AS by_hand ON true
    LEFT JOIN LATERAL (
        SELECT sum(l.amount) FILTER (WHERE t.kind = 'capture') AS captured,
            -sum(l.amount) FILTER (WHERE t.kind IN ('refund', 'refund_returned')) AS gone
        FROM journal_transactions t JOIN journal_lines l ON l.transaction_id = t.id AND l.account = 'provider_clearing'
        WHERE t.source_id IN (SELECT p.id UNION ALL SELECT r.id FROM refunds r WHERE r.payment_id = p.id)
          AND t.currency = p.currency
    ) AS journal ON true
"""
_LISTED = f"p.provider = '{LISTED}'"
_OF_DAY = f"{_CAPTURED} WHERE {_LISTED} AND p.captured > 0 AND p.paid_at >= %(begins)s AND p.paid_at < %(ends)s"
_OF_THESE = f"{_CAPTURED} WHERE {_LISTED} AND p.id::text = ANY(%(references)s)"
_MARK = "CAST(CAST('x' || substr(md5({}), 1, 12) AS bit(48)) AS bigint)"
_TOLD = "concat_ws(':', reference, currency, {}, {})"
_MARKS = f"""
    SELECT coalesce(sum({_MARK.format(_TOLD.format("captured", "gone"))}), 0) AS payments,
        coalesce(sum({_MARK.format(_TOLD.format("journal_captured", "journal_gone"))}), 0) AS journal
    FROM ({_OF_DAY}) AS captured_then
"""  # noqa: S608  # made of constants alone
_BOUNDS = "SELECT min(paid_at) AS first, max(paid_at) AS last FROM payments WHERE captured > 0"
_WAITS = """
    SELECT id::text AS reference FROM payments
    WHERE id::text = ANY(%(references)s) AND (status IN ('pending', 'processing') OR quarantined_at IS NOT NULL)
"""


@dataclass(frozen=True)
class Totals:
    """What one side says of a payment: taken, and given back of it."""

    currency: str
    captured: Decimal
    gone: Decimal

    def __str__(self) -> str:
        return f"{self.currency} {self.captured:.2f} taken and {self.gone:.2f} given back"


@invariant(3)
def days_reconcile(look: Look) -> Findings:
    """Of every day, provider, payments and journal have the same captures, and the same given back of them.

    What is on its way, fresh, or quarantined is left out by name; other providers are those of `movements`.
    """
    if look.only is not None:
        charges = (charge for reference in look.only for charge in look.provider.charges_of(reference))
        yield from _by_name(look, _theirs(charges), list(look.only))
        return
    days = [day for day in _days(look) if _differs(look, *day)]
    theirs: dict[date, list[Charge]] = {day: [] for day, _ in days}
    for charge in _charges(look) if days else ():
        if charge.changed_at.astimezone(UTC).date() in theirs:
            theirs[charge.changed_at.astimezone(UTC).date()].append(charge)
    for day, charges_then in theirs.items():
        ours = [row["reference"] for row in look.rows("payment", _OF_DAY, **_bounds(day), grace=look.scope.grace)]
        told = _theirs(charges_then)
        for reference, detail in _by_name(look, told, sorted({*ours, *told})):
            yield reference, f"on {day}: {detail}"


def _days(look: Look) -> Iterator[tuple[date, int]]:
    """Every day in scope on which somebody knows of a capture, with the provider's mark of it."""
    marks: dict[date, int] = defaultdict(int)
    for charge in _charges(look):
        marks[charge.changed_at.astimezone(UTC).date()] += _mark(charge)
    [known] = look.rows("payment", _BOUNDS)
    if known["first"]:
        first, last = known["first"].date(), known["last"].date()
        first = max(first, look.scope.since.astimezone(UTC).date()) if look.scope.since else first
        marks |= {day: marks[day] for day in (first + timedelta(days=n) for n in range((last - first).days + 1))}
    yield from sorted(marks.items())


def _differs(look: Look, day: date, mark: int) -> bool:
    [ours] = look.rows("payment", _MARKS, **_bounds(day), grace=look.scope.grace)
    look.tally.rows += 1
    return not ours["payments"] == ours["journal"] == mark


def _charges(look: Look) -> Iterator[Charge]:
    """Whatever was captured on the days in scope, once."""
    since = look.scope.since
    midnight = datetime.combine(since.astimezone(UTC).date(), time(), UTC) if since else None
    seen: set[str] = set()
    for page in look.provider.charges(midnight):
        for charge in page:
            if charge.captured and charge.id not in seen and (midnight is None or charge.changed_at >= midnight):
                yield charge
            if midnight:
                seen.add(charge.id)


def _by_name(look: Look, theirs: dict[str, Totals], references: list[str]) -> Findings:
    rows = look.rows("payment", _OF_THESE, references=references, grace=look.scope.grace)
    ours = {row["reference"]: row for row in rows}
    waits = {row["reference"] for row in look.rows("payment", _WAITS, references=references)}
    for reference in references:
        row = ours.get(reference)
        if (detail := _difference(theirs.get(reference), row)) and reference not in waits:
            if row and row["is_moving"]:
                look.postpone(reference)
            else:
                yield reference, detail


def _difference(theirs: Totals | None, row: Row | None) -> str:
    said = {
        "the provider": theirs,
        "payments": row and Totals(row["currency"], row["captured"], row["gone"]),
        "the journal": row and Totals(row["currency"], row["journal_captured"], row["journal_gone"]),
    }
    if len(set(said.values())) == 1:
        return ""
    return "; ".join(f"{who}: {what or 'nothing'}" for who, what in said.items())


def _theirs(charges: Iterator[Charge] | list[Charge]) -> dict[str, Totals]:
    """By reference. What was taken twice is summed, and so found."""
    totals: dict[str, Totals] = {}
    for charge in charges:
        before = totals.get(charge.reference, Totals(charge.currency, Decimal(0), Decimal(0)))
        sums = before.captured + charge.captured, before.gone + charge.refunded
        if charge.captured:
            totals[charge.reference] = Totals(charge.currency, *sums)
    return totals


def _mark(charge: Charge) -> int:
    told = f"{charge.reference}:{charge.currency}:{charge.captured:.2f}:{charge.refunded:.2f}"
    return int(md5(told.encode(), usedforsecurity=False).hexdigest()[:12], 16)


def _bounds(day: date) -> dict[str, datetime]:
    begins = datetime.combine(day, time(), UTC)
    return {"begins": begins, "ends": begins + timedelta(days=1)}
