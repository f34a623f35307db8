"""What providers told us and answered, kept for ever: each event once, by its provider's name and its id."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

import orjson
from sqlalchemy import text

from petpro_common.db import LateWrite, Rows, Transaction
from petpro_common.wire import BoundStatement
from petpro_payment.batches import columns
from petpro_payment.domain import Disposition
from petpro_payment.outcomes import PaymentOutcome, RefundOutcome
from petpro_payment.providers.provider import ProviderEvent, Source

_KNOWN_EVENTS = text("""
    SELECT provider, event_id FROM provider_events
    JOIN unnest(CAST(:providers AS text[]), CAST(:event_ids AS text[])) AS told(provider, event_id)
        USING (provider, event_id)
    WHERE provider = ANY(CAST(:providers AS text[])) AND event_id = ANY(CAST(:event_ids AS text[]))
""")
_EVENT_COLUMNS = ("provider", "event_id", "type", "reference", "disposition", "payload", "source")
# All of a transaction at once.
_RECORD_EVENTS = text(f"""
    INSERT INTO provider_events ({", ".join(_EVENT_COLUMNS)})
    SELECT provider, event_id, type, reference, disposition, CAST(payload AS jsonb), source
    FROM unnest({", ".join(f"CAST(:{name} AS text[])" for name in _EVENT_COLUMNS)})
         AS told({", ".join(_EVENT_COLUMNS)})
    ON CONFLICT DO NOTHING
""")


def known(events: Sequence[tuple[str, str]]) -> BoundStatement:
    """Asks which of the events, each a provider and an id of its, were recorded before.

    Exact after what locks the payments that the events are about.
    """
    return _KNOWN_EVENTS, {"providers": [name for name, _ in events], "event_ids": [id_ for _, id_ in events]}


def names(rows: Rows) -> set[tuple[str, str]]:
    """The events that `known` found."""
    return {(row.provider, row.event_id) for row in rows}


def record(tx: Transaction, provider: str, event: ProviderEvent, disposition: Disposition) -> None:
    """Keeps what a provider told us, once per event id, for ever; it is written with the commit."""
    row = {
        "provider": provider,
        "event_id": event.event_id,
        "type": event.type,
        "reference": event.reference,
        "disposition": disposition.value,
        "source": event.source.value,
        "payload": orjson.dumps(dict(event.payload), default=str).decode(),
    }
    tx.write_late(_WRITE_EVENTS, row)


def record_answer(
    tx: Transaction,
    provider: str,
    reference: UUID,
    attempt: int,
    outcome: PaymentOutcome | RefundOutcome,
    disposition: Disposition,
) -> None:
    """Keeps what a provider answered to the attempt on a payment or refund, if that changed anything.

    What the customer has to do is left out: it may be a secret, and nobody could take it away again.
    """
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
    record(tx, provider, event, disposition)


_WRITE_EVENTS = LateWrite(_RECORD_EVENTS, columns)
