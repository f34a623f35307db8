"""Xendit's list of transactions: what it took and gave back, across all ways to pay.

`reference_id` is the merchant's own, and `product_id` Xendit's name for the payment or refund behind a transaction.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from petpro_payment.outcomes import Unknown
from petpro_payment.providers import http
from petpro_payment.providers.capabilities import Capabilities, money_of_ours
from petpro_payment.providers.movements import STATES, Kind, Movement, Page, Span, State

_PATH = "/transactions"
_MOST = 50
_ASKED = {
    Kind.CAPTURE: {"types": "PAYMENT", "statuses": "SUCCESS"},
    Kind.REFUND: {"types": "REFUND"},
}


async def list_transactions(client: http.Client, span: Span, provider: Capabilities) -> Page | Unknown:
    """A page of the list; Unknown when it could not be had."""
    query = {
        **_ASKED[span.kind],
        "created[gte]": span.since.isoformat(),
        "created[lte]": span.until.isoformat(),
        "limit": str(min(span.size, _MOST)),
        **({"after_id": span.after} if span.after else {}),
    }
    answer = await http.call(client, "GET", _PATH, params=query)
    if isinstance(answer, Unknown):
        return answer
    if not answer.is_success:
        return http.unexpected(answer)
    told = answer.json()
    found = [_movement(each, span.kind, provider) for each in told["data"]]
    return Page(found, told["data"][-1]["id"] if told["has_more"] and found else "")


def _movement(transaction: Mapping[str, Any], kind: Kind, provider: Capabilities) -> Movement:
    return Movement(
        kind=kind,
        reference=transaction["reference_id"] or "",
        external_reference=transaction["product_id"],
        state=STATES.get(transaction["status"].lower(), State.PENDING),
        money=money_of_ours(transaction["amount"], transaction["currency"], provider),
        at=datetime.fromisoformat(transaction["created"]),
    )
