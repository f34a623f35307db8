"""`petproctl money at-provider`: payments and refunds that providers are asked about, with the names they know them by.

The alarms count these, and no list of the gateway has them; so it reads payment's database, and changes nothing.
"""

from typing import Any

import typer

from petproctl import money_drawing
from petproctl.gateway import Json
from petproctl.reading import Dsns, databases, folder_of
from petproctl.terminal import AsJson, Limit, OlderThan, say, seconds

# By the partial indexes of what is open; of refunds those that the alarm counts.
_OPEN = """
    SELECT * FROM (
        SELECT 'payment' AS kind, id, status, created_at, amount, currency, provider, external_reference, 0 AS retries,
            id AS payment_id, booking_id
        FROM payments WHERE status IN ('pending', 'processing', 'unknown')
        UNION ALL
        SELECT 'refund', refunds.id, refunds.state, refunds.created_at, refunds.amount, refunds.currency,
            payments.provider, refunds.external_reference, refunds.retries, refunds.payment_id, refunds.booking_id
        FROM refunds JOIN payments ON payments.id = refunds.payment_id
        WHERE refunds.status IN ('submitted', 'pending') AND refunds.due_at IS NOT NULL
    ) AS open
    WHERE created_at <= clock_timestamp() - make_interval(secs => %(age)s) ORDER BY created_at, id LIMIT %(limit)s
"""


def command(
    context: typer.Context, older_than: OlderThan = "", limit: Limit = 50, dsn: Dsns = None, as_json: AsJson = False
) -> None:
    """List payments and refunds of which a provider has not said the last word, the oldest first.

    It knows each by its id; a refund that was retried has `:1`, `:2` behind it as its idempotency key.
    """
    with databases(folder_of(context), dsn) as read:
        rows = read.rows("payment", _OPEN, {"age": seconds(older_than), "limit": limit})
    found = [_told(row) for row in rows]
    say(as_json, {"open": found}, lambda console: console.print(money_drawing.at_provider(found)))


def _told(row: dict[str, Any]) -> Json:
    return {
        "kind": row["kind"],
        "id": str(row["id"]),
        "status": row["status"],
        "waits_since": row["created_at"].isoformat(),
        "amount": {"currency_code": row["currency"], "amount": str(row["amount"])},
        "provider": row["provider"],
        "external_reference": row["external_reference"] or "",
        "retries": row["retries"],
        "payment_id": str(row["payment_id"]),
        "booking_id": str(row["booking_id"]),
    }
