"""A clinic's payout statement: CSV for programs, a page to print for people."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from html import escape

from petpro_common.db import Row
from petpro_common.money import minor_unit

_COLUMNS = ("entry", "booking", "type", "written", "currency", "total", "platform fee", "tax", "clinic")
_AMOUNTS = ("total_amount", "platform_fee", "tax_amount", "clinic_amount")
_STYLE = """
body { font: 11pt sans-serif; margin: 2cm } table { border-collapse: collapse; width: 100%; font-size: 9pt }
th, td { border-bottom: 1px solid #ccc; padding: 3px 6px; text-align: left } td.amount { text-align: right }
tr.sum td { border-top: 2px solid #000; font-weight: bold } thead { display: table-header-group }
"""


def as_csv(settlement: Row, entries: Sequence[Row]) -> str:
    """A line for each entry, and a last one with the sums. Instants are UTC, amounts decimals."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    writer.writerows(_lines(settlement, entries))
    return out.getvalue()


def as_html(settlement: Row, entries: Sequence[Row]) -> str:
    """A page of its own, without anything from elsewhere."""
    payout = _amount(settlement.clinic_amount, settlement.currency)
    begins = f"{settlement.begins:%Y-%m-%d %H:%M}" if settlement.begins else "the beginning"
    facts = (
        ("Statement", settlement.id),
        ("Clinic", settlement.clinic_id),
        ("Period", f"{begins} to {settlement.until:%Y-%m-%d %H:%M} UTC"),
        ("Settled", f"{settlement.settled_at:%Y-%m-%d %H:%M} UTC"),
        ("Payout", f"{settlement.currency} {payout}"),
    )
    head = "".join(f"<p><b>{name}</b> {escape(str(value))}</p>\n" for name, value in facts)
    columns = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    *rows, last = [_row(line) for line in _lines(settlement, entries)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Statement {settlement.id}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Payout statement</h1>\n{head}"
        f"<table><thead><tr>{columns}</tr></thead>\n<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}\n"
        f'<tr class="sum">{last}</tr></tbody></table></body></html>\n'
    )


def _lines(settlement: Row, entries: Sequence[Row]) -> list[tuple[str, ...]]:
    lines = [
        (str(entry.id), str(entry.booking_id), entry.type, entry.created_at.isoformat(), *_amounts(entry))
        for entry in entries
    ]
    return [*lines, ("", "", "sum", settlement.until.isoformat(), *_amounts(settlement))]


def _amounts(row: Row) -> tuple[str, ...]:
    return row.currency, *(_amount(getattr(row, column), row.currency) for column in _AMOUNTS)


def _amount(amount: Decimal, currency: str) -> str:
    """To the currency's minor unit: yen have no cents."""
    return str(amount.quantize(minor_unit(currency)))


def _row(line: tuple[str, ...]) -> str:
    text, amounts = line[: -len(_AMOUNTS)], line[-len(_AMOUNTS) :]
    cells = "".join(f"<td>{escape(each)}</td>" for each in text)
    return cells + "".join(f'<td class="amount">{escape(each)}</td>' for each in amounts)
