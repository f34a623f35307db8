"""PaymentService: a payment, a clinic's entries, webhooks in."""

from typing import Any
from uuid import UUID

from grpc import aio

from petpro.payment.v1 import payment_pb2_grpc
from petpro.payment.v1.payment_pb2 import (
    GetPaymentRequest,
    GetPaymentResponse,
    ListFinancialEntriesRequest,
    ListFinancialEntriesResponse,
    ReceiveWebhookRequest,
    ReceiveWebhookResponse,
)
from petpro_common import pages
from petpro_common.context import ends_what_was_begun, signed_in
from petpro_common.db import Database
from petpro_common.ids import optional_id
from petpro_payment import messages, store, store_ledger, store_refunds, webhooks
from petpro_payment.clinics import Clinics
from petpro_payment.errors import ClinicNotFound, PaymentNotFound
from petpro_payment.providers.provider import Providers
from petpro_payment.under_lock import UnderLock

_Context = aio.ServicerContext[Any, Any]


class PaymentServicer(payment_pb2_grpc.PaymentServiceServicer):
    """PaymentService of the contract."""

    def __init__(self, database: Database, under_lock: UnderLock, clinics: Clinics, providers: Providers) -> None:
        self._database = database
        self._under_lock = under_lock
        self._clinics = clinics
        self._providers = providers

    async def GetPayment(self, request: GetPaymentRequest, context: _Context) -> GetPaymentResponse:
        caller, payment_id = signed_in(), UUID(request.payment_id)
        async with self._database.reading() as tx:
            payment = await store.find_payment(tx, payment_id)
            refunds = await store_refunds.refunds_of(tx, payment_id)
        is_own = payment is not None and str(payment.user_id) == caller.id
        if payment is None or not (is_own or await self._clinics.sees_clinic(caller, payment.clinic_id)):
            raise PaymentNotFound
        return GetPaymentResponse(payment=messages.payment_message(payment, refunds, to_payer=is_own))

    async def ListFinancialEntries(
        self, request: ListFinancialEntriesRequest, context: _Context
    ) -> ListFinancialEntriesResponse:
        clinic_id, size = UUID(request.clinic_id), pages.page_size(request.page_size)
        booking_id = optional_id("booking_id", request.booking_id)
        after = pages.read_moment(request.page_token, clinic_id, booking_id)
        if not await self._clinics.sees_clinic(signed_in(), clinic_id):
            raise ClinicNotFound
        async with self._database.reading() as tx:
            rows = await store_ledger.page(tx, clinic_id, booking_id, after, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.created_at, row.id), clinic_id, booking_id)
        return ListFinancialEntriesResponse(entries=map(messages.entry_message, shown), next_page_token=token)

    @ends_what_was_begun
    async def ReceiveWebhook(self, request: ReceiveWebhookRequest, context: _Context) -> ReceiveWebhookResponse:
        metadata = context.invocation_metadata() or ()
        headers = {key.lower(): value for key, value in metadata if isinstance(value, str)}
        await webhooks.receive(self._under_lock, self._providers, request.provider, headers, request.body.data)
        return ReceiveWebhookResponse()
