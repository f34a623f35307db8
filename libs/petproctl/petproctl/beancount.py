"""The journal as a file for beancount, whose own checker adds it up again.

Every transaction stands as it was posted, on its day in UTC; at the end each account's balance is asserted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

from petproctl.gateway import Json
from petproctl.saga_drawing import instant

_ACCOUNTS = {
    "customer_liability": "Liabilities:Customers",
    "platform_revenue": "Income:Platform",
    "tax_payable": "Liabilities:Tax",
    "payout_clearing": "Assets:Payouts",
}


def account(name: str, transaction: Json) -> str:
    """The account's name there: one for each provider, and one for each clinic."""
    if name == "provider_clearing":
        return f"Assets:Providers:{transaction['provider'].capitalize()}"
    if name == "clinic_payable":
        return f"Liabilities:Clinics:C-{transaction['clinic_id']}"
    return _ACCOUNTS[name]


def export(transactions: Iterable[Json]) -> Iterator[str]:
    """The file, piece by piece; transactions come in the order in which they were posted."""
    opened: dict[str, date] = {}
    balances: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    last = date.min
    yield 'option "title" "PetPro"\n'
    for transaction in transactions:
        last = instant(transaction["posted_at"]).date()
        yield f'\n{last} * "{transaction["kind"]}" "{transaction["source_id"]}"\n  id: "{transaction["id"]}"\n'
        for line in transaction["lines"]:
            name, amount = account(line["account"], transaction), line["amount"]
            opened.setdefault(name, last)
            balances[name, amount["currency_code"]] += Decimal(amount["amount"])
            yield f"  {name}  {amount['amount']} {amount['currency_code']}\n"
    yield "\n"
    for name, day in sorted(opened.items()):
        yield f"{day} open {name}\n"
    for (name, currency), balance in sorted(balances.items()):
        yield f"{last + timedelta(days=1)} balance {name}  {balance} {currency}\n"
