"""The API: who sees which payment and which ledger, page by page."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from petpro.payment.v1 import payment_pb2 as pb
from petpro.payment.v1.payment_pb2_grpc import PaymentServiceStub, add_PaymentServiceServicer_to_server
from petpro_common import channels, rpc
from petpro_common.auth import ServiceTokens
from petpro_common.context import Role
from petpro_common.errors import NotFound
from petpro_common.ids import new_id
from petpro_common.testing import KeyRing, reason_of, serving
from petpro_payment.clinics import Clinics
from petpro_payment.consumer import on_clinic_changed, on_staff_changed
from petpro_payment.servicer import PaymentServicer
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale, World


@dataclass
class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """A played catalog: clinics by id, with their owners."""

    owners: dict[str, UUID] = field(default_factory=dict)
    asked: int = 0

    async def GetClinic(  # noqa: N802  # the contract's name
        self, request: catalog_pb2.GetClinicRequest, context: aio.ServicerContext[Any, Any]
    ) -> catalog_pb2.GetClinicResponse:
        self.asked += 1
        if request.clinic_id not in self.owners:
            raise NotFound
        owner = str(self.owners[request.clinic_id])
        return catalog_pb2.GetClinicResponse(clinic=catalog_pb2.Clinic(id=request.clinic_id, owner_id=owner))


@dataclass
class Api:
    """Calls as a person or a service makes them."""

    stub: Any
    keys: KeyRing
    catalog: Catalog

    def signed_in(self, user_id: UUID, role: Role = Role.CUSTOMER) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.keys.person(user_id, role)}")]

    async def payment(self, sale: Sale, metadata: list[tuple[str, str]]) -> pb.Payment:
        request = pb.GetPaymentRequest(payment_id=str(sale.payment_id))
        reply: pb.GetPaymentResponse = await self.stub.GetPayment(request, metadata=metadata)
        return reply.payment

    async def ledger(self, clinic_id: UUID, user_id: UUID, **fields: Any) -> pb.ListFinancialEntriesResponse:
        request = pb.ListFinancialEntriesRequest(clinic_id=str(clinic_id), **fields)
        reply: pb.ListFinancialEntriesResponse = await self.stub.ListFinancialEntries(
            request, metadata=self.signed_in(user_id, Role.CLINIC)
        )
        return reply


@pytest.fixture
async def api(world: World, tmp_path: Path) -> AsyncIterator[Api]:
    keys, catalog = KeyRing(tmp_path), Catalog()  # type: ignore[abstract]  # nothing else is asked of it
    edge = rpc.server(rpc.Edge("catalog", keys.verifier()))
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, edge)
    port = edge.add_insecure_port("127.0.0.1:0")
    await edge.start()
    tokens = ServiceTokens("payment", keys.service_key("payment"))
    async with channels.channel(f"127.0.0.1:{port}", tokens, deadline_seconds=60) as to_catalog:
        servicer = PaymentServicer(
            world.database, world.under_lock, Clinics(world.database, to_catalog), world.providers
        )
        async with serving(
            "payment", keys.verifier(), lambda server: add_PaymentServiceServicer_to_server(servicer, server)
        ) as channel:
            yield Api(PaymentServiceStub(channel), keys, catalog)
    await edge.stop(0)


async def test_a_customer_sees_their_own_payment_with_its_refunds(api: Api, world: World) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("100000"))
    payment = await api.payment(sale, api.signed_in(sale.user_id))
    assert payment.status == pb.PAYMENT_STATUS_SUCCESS
    assert (payment.amount.amount, payment.amount.currency_code) == ("250000.00", "IDR")
    assert [refund.status for refund in payment.refunds] == [pb.REFUND_STATUS_RESERVED]


async def test_nobody_else_learns_that_it_exists(api: Api, world: World) -> None:
    sale = await world.paid(Sale())
    with pytest.raises(aio.AioRpcError) as refused:
        await api.payment(sale, api.signed_in(new_id()))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    with pytest.raises(aio.AioRpcError) as nobody:
        await api.payment(sale, [])
    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_the_customer_has_to_do_is_shown_to_nobody_else(
    api: Api, world: World, provider: PlayedProvider
) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    seen = [
        (await api.payment(sale, api.signed_in(who, role))).customer_action
        for who, role in ((sale.user_id, Role.CUSTOMER), (new_id(), Role.ADMIN))
    ]
    assert seen == ["scan me", ""]


async def test_administrators_and_services_see_every_payment(api: Api, world: World) -> None:
    sale = await world.paid(Sale())
    assert (await api.payment(sale, api.signed_in(new_id(), Role.ADMIN))).id == str(sale.payment_id)
    booking = [("authorization", f"Bearer {api.keys.service('booking')}")]
    assert (await api.payment(sale, booking)).id == str(sale.payment_id)


async def test_the_owner_of_a_clinic_that_no_event_has_told_of_yet(api: Api, world: World) -> None:
    sale, owner = await world.paid(Sale()), new_id()
    api.catalog.owners[str(sale.clinic_id)] = owner
    assert (await api.payment(sale, api.signed_in(owner, Role.CLINIC))).id == str(sale.payment_id)
    with pytest.raises(aio.AioRpcError):
        await api.payment(sale, api.signed_in(new_id(), Role.CLINIC))


async def test_events_tell_who_acts_for_a_clinic_and_older_ones_change_nothing(api: Api, world: World) -> None:
    sale, owner, vet = await world.paid(Sale()), new_id(), new_id()
    clinic = {"clinic_id": str(sale.clinic_id), "owner_id": str(owner), "version": 5}
    staff = {"staff_id": str(new_id()), "clinic_id": str(sale.clinic_id), "user_id": str(vet), "version": 3}
    async with world.database.transaction() as tx:
        await on_clinic_changed(tx, clinic)
        await on_clinic_changed(tx, {**clinic, "owner_id": str(new_id()), "version": 4})
        await on_staff_changed(tx, staff)
        await on_staff_changed(tx, {**staff, "user_id": None, "version": 2})
    assert len((await api.ledger(sale.clinic_id, owner)).entries) == 1
    assert len((await api.ledger(sale.clinic_id, vet)).entries) == 1
    assert api.catalog.asked == 0
    async with world.database.transaction() as tx:
        await on_staff_changed(tx, {**staff, "user_id": None, "version": 4})
    with pytest.raises(aio.AioRpcError) as gone:
        await api.ledger(sale.clinic_id, vet)
    assert reason_of(gone.value) == "CLINIC_NOT_FOUND"


async def test_a_ledger_is_read_page_by_page_newest_first(api: Api, world: World) -> None:
    clinic_id, owner = new_id(), new_id()
    api.catalog.owners[str(clinic_id)] = owner
    sales = [await world.paid(Sale(clinic_id=clinic_id)) for _ in range(5)]
    seen, token = [], ""
    while True:
        page = await api.ledger(clinic_id, owner, page_size=2, page_token=token)
        seen += [entry.booking_id for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert seen == [str(sale.booking_id) for sale in reversed(sales)]
    one = await api.ledger(clinic_id, owner, booking_id=str(sales[2].booking_id))
    assert [entry.platform_fee.amount for entry in one.entries] == ["25000.00"]


async def test_a_page_token_of_another_list_is_refused(api: Api, world: World) -> None:
    clinic_id, owner = new_id(), new_id()
    api.catalog.owners[str(clinic_id)] = owner
    for _ in range(2):
        await world.paid(Sale(clinic_id=clinic_id))
    token = (await api.ledger(clinic_id, owner, page_size=1)).next_page_token
    with pytest.raises(aio.AioRpcError) as refused:
        await api.ledger(clinic_id, owner, page_size=1, page_token=token, booking_id=str(new_id()))
    assert reason_of(refused.value) == "BAD_PAGE_TOKEN"
