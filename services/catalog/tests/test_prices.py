"""In what currencies services are offered."""

from uuid import UUID

import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro.type.v1.money_pb2 import Money
from services.catalog.tests.people import Catalog, broken_fields, details_of


async def test_prices_are_named_in_what_people_pay_with(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    for code in ("IDR", "USD", "SGD", "JPY", "VND"):
        service = await catalog.offered(clinic, price=Money(amount="1500", currency_code=code))
        assert service.price == Money(amount="1500.00", currency_code=code)
    edit = pb.UpdateServiceRequest(
        service_id=service.id, service=pb.Service(price=Money(amount="1", currency_code="ZZZ"))
    )
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.UpdateService(edit, metadata=catalog.wayan.headers)
    assert broken_fields(refused.value) == {"service.price.currency_code"}
    assert "ZZZ" in str(details_of(refused.value))


async def test_a_service_of_a_currency_that_was_taken_once_can_be_taken_off_the_market(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    async with catalog.database.transaction() as tx:
        await tx.execute(text("UPDATE services SET currency = 'ZZZ' WHERE id = :id"), {"id": UUID(service.id)})
    retired = pb.UpdateServiceRequest(service_id=service.id, service=pb.Service(is_available=False))
    edited = (await catalog.api.UpdateService(retired, metadata=catalog.wayan.headers)).service
    assert (edited.is_available, edited.price.currency_code) == (False, "ZZZ")
