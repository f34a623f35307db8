"""Money that waits, and settlements, as a person reads them."""

from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from petproctl.gateway import Json
from petproctl.saga_drawing import duration, instant


def refunds(found: list[Json]) -> Table:
    """One line a refund that waits for a person."""
    drawn = _table("refund", "status", "waits", "amount", "provider", "its word", "booking", "customer")
    for each in found:
        refund = each["refund"]
        word = Text(each.get("failure_reason", ""))
        about = (each["provider"], word, each["booking_id"], each["user_id"])
        status = refund["status"].removeprefix("REFUND_STATUS_").lower()
        drawn.add_row(refund["id"], status, _ago(each["waits_since"]), _money(refund["amount"]), *about)
    return drawn


def quarantine(found: list[Json]) -> Table:
    """One line a payment of which another amount was taken."""
    drawn = _table("payment", "waits", "ordered", "taken", "provider", "there", "booking")
    for each in found:
        amounts = (_money(each["ordered"]), _money(each["taken"]))
        about = (each["provider"], each.get("external_reference", ""), each["booking_id"])
        drawn.add_row(each["payment_id"], _ago(each["waits_since"]), *amounts, *about)
    return drawn


def at_provider(found: list[Json]) -> Table:
    """One line a payment or refund of which a provider has not said the last word."""
    drawn = _table("id", "what", "status", "waits", "amount", "provider", "there", "retries", "of payment")
    for each in found:
        known = (each["provider"], each["external_reference"], str(each["retries"] or ""))
        payment = each["payment_id"] if each["kind"] == "refund" else ""
        about = (_ago(each["waits_since"]), _money(each["amount"]), *known, payment)
        drawn.add_row(each["id"], each["kind"], each["status"], *about)
    return drawn


def settlements(found: list[Json]) -> Table:
    """One line a settlement; one that is only foreseen has no id."""
    drawn = _table("settlement", "clinic", "until", "entries", "total", "platform", "tax", "paid out")
    for each in found:
        amounts = (each[name] for name in ("total_amount", "platform_fee", "tax_amount", "clinic_amount"))
        until = f"{instant(each['until']):%Y-%m-%d %H:%M}"
        drawn.add_row(each.get("id", ""), each["clinic_id"], until, str(each["entry_count"]), *map(_money, amounts))
    return drawn


def _table(*columns: str) -> Table:
    drawn = Table(*columns)
    drawn.columns[0].no_wrap = True
    return drawn


def _money(amount: Json) -> str:
    return f"{amount['currency_code']} {amount['amount']}"


def _ago(at: str) -> str:
    return duration(datetime.now(UTC) - instant(at))
