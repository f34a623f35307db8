"""MoneyQueueService: money that waits for a person, and what persons do about it."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from grpc import aio

from petpro.payment.v1 import operations_pb2_grpc
from petpro.payment.v1.operations_pb2 import (
    CloseQuarantineRequest,
    CloseQuarantineResponse,
    ListManualRefundsRequest,
    ListManualRefundsResponse,
    ListQuarantinedPaymentsRequest,
    ListQuarantinedPaymentsResponse,
    ManualRefund,
    PayOutRefundRequest,
    PayOutRefundResponse,
    QuarantinedPayment,
    RetryRefundRequest,
    RetryRefundResponse,
)
from petpro.payment.v1.payment_pb2 import (
    REFUND_STATUS_MANUAL,
    REFUND_STATUS_REVERSED,
    REFUND_STATUS_UNKNOWN,
    REFUND_STATUS_UNSPECIFIED,
    REFUND_STATUS_WAITING,
)
from petpro_common import pages
from petpro_common.context import administrator, ends_what_was_begun
from petpro_common.db import Database, Row, Transaction
from petpro_common.idempotency import once
from petpro_common.instants import timestamp
from petpro_common.money import Money
from petpro_payment import messages, refunds, store_audit, store_queue
from petpro_payment.domain import RefundStatus
from petpro_payment.errors import PaymentNotFound, PaymentNotQuarantined
from petpro_payment.providers.provider import Providers
from petpro_payment.store_refunds import refund_of_row

_STATUSES = {
    REFUND_STATUS_UNSPECIFIED: None,
    REFUND_STATUS_MANUAL: RefundStatus.MANUAL,
    REFUND_STATUS_REVERSED: RefundStatus.REVERSED,
    REFUND_STATUS_UNKNOWN: RefundStatus.UNKNOWN,
    REFUND_STATUS_WAITING: RefundStatus.WAITING,
}
"""Those that are listed."""

_Context = aio.ServicerContext[Any, Any]


class MoneyQueueServicer(operations_pb2_grpc.MoneyQueueServiceServicer):
    """MoneyQueueService of the contract. A dry run decides as the call does, and keeps nothing."""

    def __init__(self, database: Database, providers: Providers) -> None:
        self._database = database
        self._providers = providers

    async def ListManualRefunds(
        self, request: ListManualRefundsRequest, context: _Context
    ) -> ListManualRefundsResponse:
        administrator()
        status = _STATUSES[request.status]
        size, filters = pages.page_size(request.page_size), ("refunds", request.min_age_seconds, request.status)
        after = pages.read_moment(request.page_token, *filters)
        async with self._database.reading() as tx:
            rows = await store_queue.waiting_refunds(tx, status, request.min_age_seconds, after, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.waits_since, row.refund_id), *filters)
        return ListManualRefundsResponse(refunds=map(_refund, shown), next_page_token=token)

    @ends_what_was_begun
    async def PayOutRefund(self, request: PayOutRefundRequest, context: _Context) -> PayOutRefundResponse:
        operator, refund_id = administrator().id, UUID(request.refund_id)

        async def act(tx: Transaction) -> PayOutRefundResponse:
            refund = await refunds.pay_out(tx, refund_id, request.reference, dry_run=request.dry_run)
            if not request.dry_run:
                store_audit.record_operation(
                    tx, operator, "pay_out_refund", refund_id, request.reason, request.reference
                )
            return PayOutRefundResponse(refund=messages.refund_message(refund))

        return await once(self._database, request, PayOutRefundResponse, act, dry_run=request.dry_run)

    @ends_what_was_begun
    async def RetryRefund(self, request: RetryRefundRequest, context: _Context) -> RetryRefundResponse:
        operator, refund_id = administrator().id, UUID(request.refund_id)

        async def act(tx: Transaction) -> RetryRefundResponse:
            refund = await refunds.retry(tx, self._providers, refund_id, dry_run=request.dry_run)
            if not request.dry_run:
                store_audit.record_operation(tx, operator, "retry_refund", refund_id, request.reason)
            return RetryRefundResponse(refund=messages.refund_message(refund))

        return await once(self._database, request, RetryRefundResponse, act, dry_run=request.dry_run)

    async def ListQuarantinedPayments(
        self, request: ListQuarantinedPaymentsRequest, context: _Context
    ) -> ListQuarantinedPaymentsResponse:
        administrator()
        size, filters = pages.page_size(request.page_size), ("quarantine", request.min_age_seconds)
        after = pages.read_moment(request.page_token, *filters)
        async with self._database.reading() as tx:
            rows = await store_queue.quarantined(tx, request.min_age_seconds, after, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.quarantined_at, row.id), *filters)
        return ListQuarantinedPaymentsResponse(payments=map(_quarantined, shown), next_page_token=token)

    @ends_what_was_begun
    async def CloseQuarantine(self, request: CloseQuarantineRequest, context: _Context) -> CloseQuarantineResponse:
        operator, payment_id = administrator().id, UUID(request.payment_id)

        async def act(tx: Transaction) -> CloseQuarantineResponse:
            match await store_queue.is_quarantined(tx, payment_id):
                case None:
                    raise PaymentNotFound
                case False:
                    raise PaymentNotQuarantined
            if not request.dry_run:
                store_queue.close_quarantine(tx, payment_id)
                store_audit.record_operation(
                    tx, operator, "close_quarantine", payment_id, request.reason, request.reference
                )
            return CloseQuarantineResponse()

        return await once(self._database, request, CloseQuarantineResponse, act, dry_run=request.dry_run)


def _refund(row: Row) -> ManualRefund:
    refund = refund_of_row(row)
    return ManualRefund(
        refund=messages.refund_message(refund),
        booking_id=str(refund.booking_id),
        user_id=str(row.user_id),
        clinic_id=str(row.clinic_id),
        provider=row.provider,
        failure_reason=refund.failure_reason or "",
        waits_since=timestamp(row.waits_since),
    )


def _quarantined(row: Row) -> QuarantinedPayment:
    return QuarantinedPayment(
        payment_id=str(row.id),
        booking_id=str(row.booking_id),
        user_id=str(row.user_id),
        clinic_id=str(row.clinic_id),
        provider=row.provider,
        external_reference=row.external_reference or "",
        ordered=Money(row.amount, row.currency).to_proto(),
        taken=Money(row.quarantined_amount or Decimal(0), row.quarantined_currency or row.currency).to_proto(),
        waits_since=timestamp(row.quarantined_at),
    )
