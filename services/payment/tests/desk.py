"""An administrator's and a clinic's desk: settlements, statements, the journal and the queue, over gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from grpc import aio

from petpro.payment.v1 import ledger_pb2 as ledger
from petpro.payment.v1 import operations_pb2 as operations
from petpro.payment.v1.ledger_pb2_grpc import LedgerServiceStub, add_LedgerServiceServicer_to_server
from petpro.payment.v1.operations_pb2_grpc import MoneyQueueServiceStub, add_MoneyQueueServiceServicer_to_server
from petpro.payment.v1.reconciliation_pb2 import ListProviderMovementsRequest, ListProviderMovementsResponse
from petpro.payment.v1.reconciliation_pb2_grpc import (
    ReconciliationServiceStub,
    add_ReconciliationServiceServicer_to_server,
)
from petpro_common.auth import ServiceTokens
from petpro_common.channels import channel
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.instants import timestamp
from petpro_common.testing import KeyRing, serving
from petpro_payment.clinics import Clinics
from petpro_payment.servicer_ledger import LedgerServicer
from petpro_payment.servicer_queue import MoneyQueueServicer
from petpro_payment.servicer_reconciliation import ReconciliationServicer
from services.payment.tests.world import Sale, World

WHY = "month's end"


@dataclass
class Desk:
    """Calls, as an administrator, or in another role."""

    world: World
    keys: KeyRing
    books: Any
    queue: Any
    reconciliation: Any
    admin: UUID = field(default_factory=new_id)
    role: Role = Role.ADMIN

    def as_(self, user_id: UUID, role: Role) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.keys.person(user_id, role)}")]

    @property
    def as_admin(self) -> list[tuple[str, str]]:
        return self.as_(self.admin, self.role)

    async def settle(
        self, clinic_id: UUID | str = "", *, until: datetime | None = None, dry_run: bool = False
    ) -> list[ledger.Settlement]:
        """Settles what was written before an instant, or until now."""
        return list((await self.run_settlements(until or datetime.now(UTC), clinic_id, dry_run=dry_run)).settlements)

    async def run_settlements(
        self, until: datetime, clinic_id: UUID | str = "", *, dry_run: bool = False, request_id: str = ""
    ) -> ledger.RunSettlementsResponse:
        request = ledger.RunSettlementsRequest(
            until=timestamp(until), clinic_id=str(clinic_id), reason=WHY, dry_run=dry_run, request_id=request_id
        )
        reply: ledger.RunSettlementsResponse = await self.books.RunSettlements(request, metadata=self.as_admin)
        return reply

    async def statement(self, settlement_id: str, format_: Any, metadata: Any = None) -> ledger.GetStatementResponse:
        request = ledger.GetStatementRequest(settlement_id=settlement_id, format=format_)
        reply: ledger.GetStatementResponse = await self.books.GetStatement(request, metadata=metadata or self.as_admin)
        return reply

    async def journal(self, page_size: int = 100) -> list[ledger.JournalTransaction]:
        found: list[ledger.JournalTransaction] = []
        token = ""
        while True:
            request = ledger.ListJournalRequest(page_size=page_size, page_token=token)
            page = await self.books.ListJournal(request, metadata=self.as_admin)
            found += page.transactions
            token = page.next_page_token
            if not token:
                return found

    async def waiting(self, min_age: int = 0, status: Any = 0) -> list[operations.ManualRefund]:
        request = operations.ListManualRefundsRequest(min_age_seconds=min_age, status=status)
        return list((await self.queue.ListManualRefunds(request, metadata=self.as_admin)).refunds)

    async def pay_out(self, refund_id: UUID, *, dry_run: bool = False) -> operations.PayOutRefundResponse:
        request = operations.PayOutRefundRequest(
            refund_id=str(refund_id), reference="transfer 17", reason="card closed", dry_run=dry_run
        )
        reply: operations.PayOutRefundResponse = await self.queue.PayOutRefund(request, metadata=self.as_admin)
        return reply

    async def retry(self, refund_id: UUID, *, dry_run: bool = False) -> operations.RetryRefundResponse:
        request = operations.RetryRefundRequest(refund_id=str(refund_id), reason="funds are there", dry_run=dry_run)
        reply: operations.RetryRefundResponse = await self.queue.RetryRefund(request, metadata=self.as_admin)
        return reply

    async def quarantined(self) -> list[operations.QuarantinedPayment]:
        request = operations.ListQuarantinedPaymentsRequest()
        return list((await self.queue.ListQuarantinedPayments(request, metadata=self.as_admin)).payments)

    async def close_quarantine(self, sale: Sale) -> None:
        request = operations.CloseQuarantineRequest(
            payment_id=str(sale.payment_id), reference="re_17", reason="given back in the provider's own pages"
        )
        await self.queue.CloseQuarantine(request, metadata=self.as_admin)

    async def movements(self, **asked: Any) -> ListProviderMovementsResponse:
        request = ListProviderMovementsRequest(**asked)
        reply: ListProviderMovementsResponse = await self.reconciliation.ListProviderMovements(
            request, metadata=self.as_admin
        )
        return reply


@asynccontextmanager
async def open_desk(world: World, folder: Path) -> AsyncIterator[Desk]:
    """All three services on a server of their own. Catalog is not there: who acts for a clinic, events have told."""
    keys = KeyRing(folder)

    def add(server: aio.Server) -> None:
        clinics = Clinics(world.database, nowhere)
        add_LedgerServiceServicer_to_server(LedgerServicer(world.database, clinics), server)
        add_MoneyQueueServiceServicer_to_server(MoneyQueueServicer(world.database, world.providers), server)
        add_ReconciliationServiceServicer_to_server(ReconciliationServicer(world.database, world.providers), server)

    async with (
        channel("127.0.0.1:1", ServiceTokens("payment", keys.service_key("payment"))) as nowhere,
        serving("payment", keys.verifier(), add) as wire,
    ):
        yield Desk(world, keys, LedgerServiceStub(wire), MoneyQueueServiceStub(wire), ReconciliationServiceStub(wire))
