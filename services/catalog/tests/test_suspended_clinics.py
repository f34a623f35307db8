"""A clinic that was suspended: out of sight in lists, and within reach of who is booked there."""

from collections.abc import Awaitable

import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import (
    Catalog,
    reason,
)


async def test_who_is_booked_at_a_suspended_clinic_still_reaches_it_by_its_id(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    service = await catalog.offered(clinic)
    suspend = pb.SuspendClinicRequest(clinic_id=clinic.id)
    await catalog.api.SuspendClinic(suspend, metadata=catalog.admin.headers)
    by_id, its_service = pb.GetClinicRequest(clinic_id=clinic.id), pb.GetServiceRequest(service_id=service.id)

    seen = (await catalog.api.GetClinic(by_id, metadata=catalog.sari.headers)).clinic

    assert (seen.status, seen.phone_number) == (pb.CLINIC_STATUS_SUSPENDED, clinic.phone_number)
    assert (seen.timezone, seen.commission_rate) == (clinic.timezone, "")
    assert (await catalog.api.GetService(its_service, metadata=catalog.sari.headers)).service == service
    assert not (await catalog.api.ListClinics(pb.ListClinicsRequest(), metadata=catalog.sari.headers)).clinics
    edit = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(name="x"))
    refused = [
        await refusal(catalog.api.GetClinic(by_id)),
        await refusal(catalog.api.GetService(its_service)),
        await refusal(catalog.api.UpdateClinic(edit, metadata=catalog.dewi.headers)),
        await refusal(
            catalog.api.ListServices(pb.ListServicesRequest(clinic_id=clinic.id), metadata=catalog.sari.headers)
        ),
    ]
    assert refused == ["CLINIC_NOT_FOUND", "SERVICE_NOT_FOUND", "CLINIC_NOT_FOUND", "CLINIC_NOT_FOUND"]


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return reason(refused.value)
