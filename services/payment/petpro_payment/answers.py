"""What a provider answers when we ask, kept for ever beside what it tells by itself, when it changes anything.

What the customer has to do is left out: it may be a secret, and nobody could take it away again.
"""

from dataclasses import asdict
from uuid import UUID

from petpro_common.db import Transaction
from petpro_payment import store_events
from petpro_payment.domain import Disposition
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome
from petpro_payment.providers.provider import ProviderEvent, Source


def keep(
    tx: Transaction,
    provider: str,
    reference: UUID,
    attempt: int,
    outcome: PaymentOutcome | RefundOutcome,
    disposition: Disposition,
) -> None:
    """Keeps what came of the attempt on a payment or refund; an answer that changed nothing is not kept."""
    if disposition is Disposition.IGNORED:
        return
    kind = type(outcome).__name__
    kept = {name: value for name, value in asdict(outcome).items() if name != "customer_action"}
    event = ProviderEvent(
        event_id=f"{reference}:{attempt}",
        type=kind,
        reference=str(reference),
        outcome=outcome,
        is_refund=kind.startswith("Refund"),
        payload=kept,
        source=Source.ANSWER,
    )
    store_events.record(tx, provider, event, disposition)
