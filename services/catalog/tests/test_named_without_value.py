"""An edit that names a field and brings no value never makes it what it is when nobody has said anything."""

from typing import TypeAlias

import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields, mask, tier_policy

NIGHT = {"monday": pb.DayHours(open="20:00", close="04:00", is_open=True)}
Edit: TypeAlias = tuple[str, ...]


@pytest.mark.parametrize("names", [("is_available",), ("requires_approval",), ("name", "duration_minutes")])
async def test_a_service_keeps_what_an_edit_names_without_a_value(catalog: Catalog, names: Edit) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic, duration_minutes=45, requires_approval=True, is_available=False)
    request = pb.UpdateServiceRequest(
        service_id=service.id, service=pb.Service(name="Vaksin"), update_mask=mask(*names)
    )
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)
    assert broken_fields(refused.value) == {f"service.{names[-1]}"}
    asked = pb.GetServiceRequest(service_id=service.id)
    assert (await catalog.api.GetService(asked, metadata=catalog.wayan.headers)).service == service

    request.service.MergeFrom(pb.Service(is_available=True, requires_approval=False, duration_minutes=60))
    assert (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service.version == 2


@pytest.mark.parametrize("name", ["operating_hours", "timezone", "cancellation_policy", "commission_rate"])
async def test_a_clinic_keeps_what_an_edit_names_without_a_value(catalog: Catalog, name: str) -> None:
    clinic = await catalog.applied(
        operating_hours=NIGHT, timezone="Asia/Makassar", cancellation_policy=tier_policy((48, 10))
    )
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(), update_mask=mask(name))
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.UpdateClinic(request, metadata=catalog.admin.headers)
    assert broken_fields(refused.value) == {f"clinic.{name}"}
    asked = pb.GetClinicRequest(clinic_id=clinic.id)
    assert (await catalog.api.GetClinic(asked, metadata=catalog.wayan.headers)).clinic == clinic
