"""LedgerService: settlements, their statements, and the journal."""

from datetime import UTC
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from petpro.payment.v1 import ledger_pb2_grpc
from petpro.payment.v1.ledger_pb2 import (
    STATEMENT_FORMAT_HTML,
    GetStatementRequest,
    GetStatementResponse,
    JournalLine,
    JournalTransaction,
    ListJournalRequest,
    ListJournalResponse,
    ListSettlementsRequest,
    ListSettlementsResponse,
    RunSettlementsRequest,
    RunSettlementsResponse,
    Settlement,
)
from petpro.type.v1.money_pb2 import Money as MoneyMessage
from petpro_common import pages
from petpro_common.context import administrator, signed_in
from petpro_common.db import Database, Row, Transaction
from petpro_common.idempotency import go_on, once
from petpro_common.ids import optional_id
from petpro_common.instants import timestamp
from petpro_common.money import Money
from petpro_payment import settlements, statements, store_journal, store_settlements
from petpro_payment.clinics import Clinics
from petpro_payment.errors import ClinicNotFound, SettlementNotFound

_Context = aio.ServicerContext[Any, Any]


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """LedgerService of the contract."""

    def __init__(self, database: Database, clinics: Clinics) -> None:
        self._database = database
        self._clinics = clinics

    async def ListSettlements(self, request: ListSettlementsRequest, context: _Context) -> ListSettlementsResponse:
        clinic_id, size = UUID(request.clinic_id), pages.page_size(request.page_size)
        before = pages.read_id(request.page_token, clinic_id)
        if not await self._clinics.sees_clinic(signed_in(), clinic_id):
            raise ClinicNotFound
        async with self._database.reading() as tx:
            rows = await store_settlements.page(tx, clinic_id, before, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.id,), clinic_id)
        return ListSettlementsResponse(settlements=map(_made, shown), next_page_token=token)

    async def GetStatement(self, request: GetStatementRequest, context: _Context) -> GetStatementResponse:
        caller, settlement_id = signed_in(), UUID(request.settlement_id)
        async with self._database.reading() as tx:
            settlement = await store_settlements.find(tx, settlement_id)
            entries = await store_settlements.entries(tx, settlement_id)
        if settlement is None or not await self._clinics.sees_clinic(caller, settlement.clinic_id):
            raise SettlementNotFound
        if request.format == STATEMENT_FORMAT_HTML:
            page = statements.as_html(settlement, entries)
            return GetStatementResponse(file_name=f"{settlement.id}.html", media_type="text/html", content=page)
        lines = statements.as_csv(settlement, entries)
        return GetStatementResponse(file_name=f"{settlement.id}.csv", media_type="text/csv", content=lines)

    async def RunSettlements(self, request: RunSettlementsRequest, context: _Context) -> RunSettlementsResponse:
        """Each settlement is kept in the reply by its own transaction.

        So a copy after a fault, or before the end, is told what is settled so far, and that there is more.
        """
        operator = administrator().id
        due = await settlements.due(
            self._database, request.until.ToDatetime(UTC), optional_id("clinic_id", request.clinic_id)
        )
        if request.dry_run:
            foreseen = map(_settlement, due[: settlements.MOST])
            return RunSettlementsResponse(settlements=foreseen, has_more=len(due) > settlements.MOST)
        reply = RunSettlementsResponse(has_more=True)

        async def begin(_: Transaction) -> RunSettlementsResponse:
            return reply

        answered = await once(self._database, request, RunSettlementsResponse, begin)
        if answered is not reply:
            return answered
        payable = [one for one in due if one.clinic_amount >= 0]
        for one in payable[: settlements.MOST]:
            async with self._database.transaction() as tx:
                if made := await settlements.settle(tx, one, operator, request.reason):
                    reply.settlements.append(_made(made))
                    go_on(tx, request, reply)
        reply.has_more = len(payable) > settlements.MOST
        async with self._database.transaction() as tx:
            go_on(tx, request, reply)
        return reply

    async def ListJournal(self, request: ListJournalRequest, context: _Context) -> ListJournalResponse:
        administrator()
        size = pages.page_size(request.page_size)
        window = (
            request.since.ToDatetime(UTC) if request.HasField("since") else None,
            request.until.ToDatetime(UTC) if request.HasField("until") else None,
        )
        after = pages.read_moment(request.page_token, *window)
        async with self._database.reading() as tx:
            rows = await store_journal.page(tx, *window, after, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.posted_at, row.id), *window)
        return ListJournalResponse(transactions=map(_transaction, shown), next_page_token=token)


def _made(row: Row) -> Settlement:
    settlement = _settlement(row)
    settlement.id = str(row.id)
    settlement.settled_at.CopyFrom(timestamp(row.settled_at))
    return settlement


def _settlement(row: Row) -> Settlement:
    return Settlement(
        clinic_id=str(row.clinic_id),
        begins=_instant(row.begins),
        until=timestamp(row.until),
        entry_count=row.entry_count,
        total_amount=Money(row.total_amount, row.currency).to_proto(),
        platform_fee=Money(row.platform_fee, row.currency).to_proto(),
        tax_amount=Money(row.tax_amount, row.currency).to_proto(),
        clinic_amount=Money(row.clinic_amount, row.currency).to_proto(),
    )


def _transaction(row: Row) -> JournalTransaction:
    lines = [
        JournalLine(account=account, amount=MoneyMessage(amount=amount, currency_code=row.currency))
        for account, amount in sorted(row.lines.items())
    ]
    return JournalTransaction(
        id=str(row.id),
        kind=row.kind,
        source_id=str(row.source_id),
        clinic_id=str(row.clinic_id or ""),
        provider=row.provider or "",
        posted_at=timestamp(row.posted_at),
        lines=lines,
    )


def _instant(value: Any) -> Timestamp | None:
    return None if value is None else timestamp(value)
