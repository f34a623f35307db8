"""What Stripe tells of a shop's payments, as it signs it, and all pages of its lists."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import stripe

from petpro_common.ids import new_id
from petpro_payment.providers.movements import Kind, Movement, Page, Span
from petpro_payment.providers.stripe import StripeProvider
from services.payment.tests.localstripe.process import (
    WEBHOOK_SECRET,
)
from services.payment.tests.world import Sale


def signed(
    event: dict[str, Any], at: float | None = None, secret: str = WEBHOOK_SECRET
) -> tuple[dict[str, str], bytes]:
    """A webhook as Stripe signs it."""
    body = orjson.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at or time.time()))
    return {"stripe-signature": header}, body


def event_about(about: dict[str, Any], kind: str) -> dict[str, Any]:
    now = int(time.time())
    return {"id": f"evt_{new_id()}", "object": "event", "type": kind, "created": now, "data": {"object": about}}


def intent(sale: Sale, status: str, amount: int = 25_000_000, **fields: Any) -> dict[str, Any]:
    about = {"id": "pi_1", "object": "payment_intent", "status": status, "amount": amount, "amount_received": amount}
    return {**about, "currency": "idr", "metadata": {"reference": str(sale.payment_id)}, "created": 1, **fields}


async def listed(provider: StripeProvider, kind: Kind) -> dict[str, Movement]:
    """All pages, by reference, but what has none of ours."""
    found: dict[str, Movement] = {}
    span = Span(kind, datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=1), 2)
    while True:
        page = await provider.list_movements(span)
        assert isinstance(page, Page)
        found |= {each.reference: each for each in page.movements}
        if not page.end:
            return found
        span = replace(span, after=page.end)
