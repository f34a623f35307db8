"""Who did what about money, and why, kept for ever: what sagas ordered, and what persons did."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text

from petpro_common.db import LateWrite, Transaction

_COLUMNS = ("ordered_by", "verb", "subject_id", "reason")
# All of a transaction at once.
_INSERT_ORDERS = text("""
    INSERT INTO money_orders (ordered_by, verb, subject_id, reason)
    SELECT * FROM unnest(CAST(:ordered_by AS text[]), CAST(:verb AS text[]), CAST(:subject_id AS uuid[]),
                         CAST(:reason AS text[]))
""")
_INSERT_OPERATION = text("""
    INSERT INTO money_operations (operator, verb, subject_id, reason, reference)
    VALUES (:operator, :verb, :subject_id, :reason, :reference)
""")


def record_order(tx: Transaction, command_id: str, verb: str, subject_id: UUID, reason: str) -> None:
    """Keeps what a saga ordered; it is written with the commit. The command id says which saga, and which step."""
    tx.write_late(_WRITE_ORDERS, (command_id, verb, subject_id, reason))


def record_operation(
    tx: Transaction, operator: str, verb: str, subject_id: UUID, reason: str, reference: str = ""
) -> None:
    """Keeps what a person did, and the reference of it in another system, if it has one."""
    row = {"operator": operator, "verb": verb, "subject_id": subject_id, "reason": reason, "reference": reference}
    tx.write(_INSERT_OPERATION, row)


def _columns(rows: list[tuple[str, str, UUID, str]]) -> Mapping[str, Any]:
    return dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


_WRITE_ORDERS = LateWrite(_INSERT_ORDERS, _columns)
