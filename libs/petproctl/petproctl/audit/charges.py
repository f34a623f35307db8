"""Promise 3, against the provider's own list: every charge and every refund there is one of ours, and the same.

What was made or captured there within the grace is left out: its webhook may be on the way. A payment that somebody
still asks about, a refund on its way, and a payment under quarantine are left out too.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

from petproctl.audit.databases import Row
from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant
from petproctl.audit.provider import LISTED, Charge, Return

_AT_ONCE = 8
_PAYMENTS = "SELECT id, status, captured, quarantined_at, external_reference FROM payments WHERE id = ANY(%(ids)s)"
_REFUNDS = """SELECT id, amount, retries, external_reference,
        CASE WHEN paid_out_reference IS NULL THEN status ELSE 'manual' END AS status
    FROM refunds WHERE id = ANY(%(ids)s)"""
_ON_THE_WAY = ("pending", "processing", "unknown")
SAME = {
    "succeeded": ("succeeded", "submitted", "pending"),
    "failed": ("manual", "submitted", "pending"),
    "pending": ("submitted", "pending", "manual"),
}
"""Our statuses that go with each of the provider's. We hear of a change later, and it may never have had an answer."""


@invariant(3)
def payments_agree_with_the_provider(look: Look) -> Findings:
    """The provider took what we say, and gave back what we say, without what a person paid in another way."""
    statement = """SELECT id, provider, external_reference, status, captured, quarantined_at, EXISTS (
            SELECT FROM refunds r WHERE r.payment_id = batch.id AND r.status IN ('submitted', 'pending'))
            AS giving_back, refund_done - (SELECT coalesce(sum(amount), 0) FROM refunds r
                WHERE r.payment_id = batch.id AND r.status = 'succeeded' AND r.paid_out_reference IS NOT NULL)
            AS refund_done
        FROM batch ORDER BY id"""
    with ThreadPoolExecutor(_AT_ONCE) as crowd:
        for rows in look.batches("payment", "payments", statement, settled=True):
            ours = [row for row in rows if _is_told(row)]
            for row, charge in zip(ours, crowd.map(lambda row: _charge(look, row), ours), strict=True):
                detail = _difference(row, charge)
                if detail and charge and _is_fresh(look, charge):
                    look.postpone(row["id"])
                elif detail:
                    yield str(row["id"]), detail


def _is_told(payment: Row) -> bool:
    """Whether our word on it is final: at rest, and about money of the provider whose list is read."""
    is_moving = payment["status"] in _ON_THE_WAY or payment["giving_back"] or payment["quarantined_at"]
    is_there = payment["provider"] == LISTED and bool(payment["captured"] or payment["external_reference"])
    return is_there and not is_moving


def _charge(look: Look, payment: Row) -> Charge | None:
    reference = payment["external_reference"]
    return look.provider.charge(reference) if reference else None


def _difference(payment: Row, charge: Charge | None) -> str:
    if charge is None:
        unknown = payment["external_reference"]
        return f"has taken {payment['captured']}, and the provider does not know charge {unknown}"
    if charge.reference != str(payment["id"]):
        return f"names charge {charge.id}, which belongs to {charge.reference}"
    ours, theirs = (payment["captured"], payment["refund_done"]), (charge.captured, charge.refunded)
    if ours == theirs:
        return ""
    return f"took {ours[0]} and gave {ours[1]} back, the provider says {theirs[0]} and {theirs[1]}"


@invariant(3)
def charges_are_ours(look: Look) -> Findings:
    """Whatever the provider took is a payment of ours that knows of it, and was taken once."""
    for page in _charges(look):
        look.tally.rows += len(page)
        taken = [charge for charge in page if charge.captured and not _is_fresh(look, charge)]
        ours = {str(row["id"]): row for row in look.rows("payment", _PAYMENTS, ids=_uuids(taken))}
        for charge in taken:
            if detail := _of_charge(look, charge, ours.get(charge.reference)):
                yield charge.reference, detail


def _of_charge(look: Look, charge: Charge, payment: Row | None) -> str:
    if payment is None:
        return f"charge {charge.id} took {charge.captured} for no payment of ours"
    if not (payment["captured"] or payment["quarantined_at"] or payment["status"] in _ON_THE_WAY):
        return f"charge {charge.id} took {charge.captured}, our payment is {payment['status']}"
    if charge.id == payment["external_reference"]:
        return ""
    others = [other.id for other in look.provider.charges_of(charge.reference) if other.captured]
    return f"was taken by {len(others)} charges: {', '.join(sorted(others))}" if len(others) > 1 else ""


@invariant(3)
def returns_are_ours(look: Look) -> Findings:
    """Whatever the provider gives back is a refund of ours that stands the same, and was given once."""
    for page in _returns(look):
        look.tally.rows += len(page)
        told = [each for each in page if not _is_fresh(look, each)]
        ours = {str(row["id"]): row for row in look.rows("payment", _REFUNDS, ids=_uuids(told))}
        for each in told:
            refund = ours.get(each.reference)
            if refund is None:
                yield each.reference, f"{each.id} gave {each.amount} back for no refund of ours"
            elif each.status == "failed" and was_tried_again(refund, each.id):
                continue
            elif refund["status"] not in SAME[each.status] or refund["amount"] != each.amount:
                said = f"our refund of {refund['amount']} is {refund['status']}"
                yield each.reference, f"{each.id} of {each.amount} {each.status}, {said}"


def was_tried_again(refund: Row, external_reference: str) -> bool:
    """Whether what failed under this name was not the last attempt at our refund."""
    return bool(refund["retries"] and refund["external_reference"] != external_reference)


def _charges(look: Look) -> Iterator[list[Charge]]:
    if look.only is None:
        return look.provider.charges(look.scope.since)
    return (look.provider.charges_of(reference) for reference in look.only)


def _returns(look: Look) -> Iterator[list[Return]]:
    if look.only is None:
        return look.provider.refunds(look.scope.since)
    return (look.provider.refunds_of(reference) for reference in look.only)


def _is_fresh(look: Look, told: Charge | Return) -> bool:
    return told.changed_at > datetime.now(UTC) - look.scope.grace


def _uuids(told: list[Charge] | list[Return]) -> list[UUID]:
    """The references that are ids of ours at all."""
    found = []
    for each in told:
        try:
            found.append(UUID(each.reference))
        except ValueError:
            continue
    return found
