"""Promise 4: cancellations and no-shows follow the policy, and every saga ends or waits for a person."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from petpro_common.money import Money
from petproctl.audit.look import Look
from petproctl.audit.model import Findings, invariant


@invariant(4)
def sagas_move_on(look: Look) -> Findings:
    """A saga that has not ended is looked at again when it is due, or is parked.

    A saga that waits has its next look ahead of it, however long it runs; only one that is overdue by more than the
    grace, or that nobody will ever look at, has stopped.
    """
    return look.broken(
        "booking",
        "sagas",
        """SELECT id, CASE WHEN due_at IS NULL OR due_at < CURRENT_TIMESTAMP - %(grace)s
            THEN business_key || ' is ' || status || ' at ' || step || ', and nobody looks at it' END AS broken
        FROM batch ORDER BY id""",
        settled=True,
        always="status IN ('running', 'compensating')",
    )


@invariant(4)
def checkouts_have_sagas(look: Look) -> Findings:
    """A checkout on its way belongs to a saga that has not ended. The saga's step sets both in one transaction.

    Only sagas that ended long ago are purged, so one that is missing here has ended, or never was.
    """
    return look.broken(
        "booking",
        "reservations",
        """SELECT batch.id, CASE WHEN batch.checkout_status IN ('awaiting_approval', 'awaiting_payment')
                AND coalesce(s.status IN ('completed', 'compensated'), true)
            THEN 'is ' || batch.checkout_status || ', and its saga is ' || coalesce(s.status, 'missing') END AS broken
        FROM batch LEFT JOIN sagas s ON s.id = batch.checkout_saga_id ORDER BY batch.id""",
    )


@invariant(4)
def cancellations_have_sagas(look: Look) -> Findings:
    """A cancellation that was asked for belongs to a saga that has not ended. One transaction sets both.

    As with checkouts, a purged saga had ended.
    """
    return look.broken(
        "booking",
        "bookings",
        """SELECT batch.id, CASE WHEN batch.cancellation_status = 'requested'
                AND coalesce(s.status IN ('completed', 'compensated'), true)
            THEN 'waits to be cancelled, and its saga is ' || coalesce(s.status, 'missing') END AS broken
        FROM batch LEFT JOIN sagas s ON s.id = batch.cancellation_saga_id ORDER BY batch.id""",
    )


@invariant(4)
def called_off_is_cancelled(look: Look) -> Findings:
    """A visit that its clinic called off while the customer's cancellation was on its way is cancelled by either.

    Where the customer's is undone the clinic's begins within the grace.
    """
    return look.broken(
        "booking",
        "bookings",
        """SELECT id, 'was called off by its clinic, and nobody cancels it' AS broken FROM batch ORDER BY id""",
        settled=True,
        always="called_off_reason IS NOT NULL AND status IN ('confirmed', 'in-progress') "
        "AND cancellation_status <> 'requested'",
    )


@invariant(4)
def bookings_and_cancellations_agree(look: Look) -> Findings:
    """A booking is cancelled exactly when its cancellation is. One statement sets both."""
    return look.broken(
        "booking",
        "bookings",
        """SELECT id, CASE WHEN (status = 'cancelled') <> (cancellation_status = 'cancelled')
            THEN 'is ' || status || ', its cancellation ' || cancellation_status END AS broken
        FROM batch ORDER BY id""",
    )


@invariant(4)
def refunds_follow_the_policy(look: Look) -> Findings:
    """What a cancelled booking gives back is exactly the policy's amount at the instant of the request.

    All of it when the clinic cancelled. The instant is the saga's beginning, and the amount is frozen then, so a
    cancellation in flight is right already; it is judged when it has gone through. It can be judged as long as the saga
    is kept: 180 days after its end. A no-show gives back what its fee leaves, whenever it is noted. Both within the
    bounds that moves and refused cancellations have left. Of what was paid at the clinic we give nothing back.
    """
    statement = """
        SELECT batch.id, batch.payment_id, batch.status, batch.amount, batch.currency, batch.refund_amount,
            batch.cancelled_by, batch.starts_at, batch.refund_floor, batch.refund_ceiling,
            batch.cancellation_policy, s.created_at AS asked_at
        FROM batch LEFT JOIN sagas s ON s.id = batch.cancellation_saga_id AND batch.status = 'cancelled'
        ORDER BY batch.id"""
    for rows in look.batches("booking", "bookings", statement, settled=False):
        for row in rows:
            is_decided = row["asked_at"] is not None or row["status"] == "no-show"
            if is_decided and (given := row["refund_amount"] or Decimal(0)) != (due := _due(row)):
                yield str(row["id"]), f"gives {given} back, its policy says {due}"


def _due(booking: dict[str, Any]) -> Decimal:
    price = Money(booking["amount"], booking["currency"])
    policy = booking["cancellation_policy"]
    if booking["payment_id"] is None:
        return Decimal(0)
    if booking["status"] == "no-show":
        return _share(price, booking, 100 - int(policy.get("no_show_fee_percent", 100)))
    if booking["cancelled_by"] != "customer":
        return price.amount
    ahead: timedelta = booking["starts_at"] - booking["asked_at"]
    met = [tier for tier in policy.get("tiers", []) if ahead >= timedelta(hours=int(tier["min_hours_before"]))]
    best = max(met, key=lambda tier: int(tier["min_hours_before"]), default={"refund_percent": 0})
    return _share(price, booking, int(best["refund_percent"]))


def _share(price: Money, booking: dict[str, Any], percent: int) -> Decimal:
    within = max(int(booking["refund_floor"]), min(percent, int(booking["refund_ceiling"])))
    return price.share(Decimal(within)).amount
