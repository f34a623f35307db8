"""Edits of clinics: whose they are, what they change, and who is told."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields, mask, reason, tier_policy


async def test_only_the_owner_edits_a_clinic(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    works_there = catalog.sari
    await catalog.employed(clinic, user_id=str(works_there.id))
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(name="Taken over"))
    for person in (catalog.dewi, works_there):
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.UpdateClinic(request, metadata=person.headers)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    hidden = await catalog.applied()
    with pytest.raises(aio.AioRpcError) as not_found:
        await catalog.api.UpdateClinic(
            pb.UpdateClinicRequest(clinic_id=hidden.id, clinic=pb.Clinic(name="Taken over")),
            metadata=catalog.dewi.headers,
        )
    assert reason(not_found.value) == "CLINIC_NOT_FOUND"


async def test_only_what_the_mask_names_changes(catalog: Catalog) -> None:
    clinic = await catalog.approved(website="https://menteng.example")
    edit = pb.Clinic(name="Klinik Menteng Baru", city="Bandung")
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=edit, update_mask=mask("name", "website"))

    edited = (await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)).clinic

    assert (edited.name, edited.city, edited.website) == ("Klinik Menteng Baru", "Jakarta", "")
    assert edited.version == clinic.version + 1
    assert edited.updated_at.ToDatetime() > clinic.updated_at.ToDatetime()


async def test_without_a_mask_what_is_set_changes_and_a_whole_clinic_can_be_sent_back(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    clinic.description = "Buka setiap hari"
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=clinic)

    edited = (await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)).clinic

    assert (edited.description, edited.name) == ("Buka setiap hari", clinic.name)


async def test_an_edit_that_changes_nothing_tells_nobody(catalog: Catalog) -> None:
    clinic = await catalog.approved(latitude=-6.1913, longitude=106.8412)
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=clinic)
    edited = (await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)).clinic
    assert edited.version == clinic.version
    assert len(await catalog.events("clinic.changed")) == 2


async def test_what_is_not_the_owners_to_edit_is_refused_by_name(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for path in ("id", "owner_id", "status", "version", "created_at", "feathers"):
        request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(name="x"), update_mask=mask(path))
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)
        assert broken_fields(refused.value) == {"update_mask"}, path


async def test_a_part_of_a_field_is_refused_for_its_other_parts_would_be_lost(catalog: Catalog) -> None:
    clinic = await catalog.approved(cancellation_policy=tier_policy((24, 100)))
    paths = ("cancellation_policy.no_show_fee_percent", "operating_hours.monday", "name.foo.bar", "*")
    edit = pb.Clinic(name="x", cancellation_policy=pb.CancellationPolicy(no_show_fee_percent=50))
    for path in paths:
        request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=edit, update_mask=mask(path))
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)
        assert broken_fields(refused.value) == {"update_mask"}, path
    asked = pb.GetClinicRequest(clinic_id=clinic.id)
    assert (await catalog.api.GetClinic(asked, metadata=catalog.admin.headers)).clinic == clinic


async def test_the_commission_is_set_by_administrators_only(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(commission_rate="0.00"))
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(aio.AioRpcError) as refused_at_once:
        await catalog.applied(commission_rate="1")
    assert refused_at_once.value.code() is grpc.StatusCode.PERMISSION_DENIED

    request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(commission_rate="7.5"))
    edited = (await catalog.api.UpdateClinic(request, metadata=catalog.admin.headers)).clinic

    assert edited.commission_rate == "7.50"
    assert (await catalog.events("clinic.changed"))[-1]["commission_rate"] == "7.50"


async def test_every_edit_of_the_policy_is_a_new_version_and_other_edits_are_not(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    strict = pb.CancellationPolicy(tiers=[pb.RefundTier(min_hours_before=48, refund_percent=50)])

    async def edit(**fields: Any) -> pb.CancellationPolicy:
        request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(**fields))
        return (await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)).clinic.cancellation_policy

    assert (await edit(cancellation_policy=strict)).version == 2
    assert (await edit(description="Sama saja")).version == 2
    never = await edit(cancellation_policy=pb.CancellationPolicy())
    assert (never.version, list(never.tiers)) == (3, [])
    assert [event["cancellation_policy"]["version"] for event in await catalog.events("clinic.changed")] == [
        1,
        1,
        2,
        2,
        3,
    ]


async def test_of_many_edits_at_once_none_is_lost(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    edits = [
        pb.Clinic(description="Buka malam"),
        pb.Clinic(website="https://menteng.example"),
        pb.Clinic(postal_code="10310"),
        pb.Clinic(cancellation_policy=tier_policy((12, 80))),
        pb.Clinic(cancellation_policy=tier_policy((12, 70))),
    ]
    requests = [pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=edit) for edit in edits]
    await asyncio.gather(*(catalog.api.UpdateClinic(one, metadata=catalog.wayan.headers) for one in requests))

    now = (await catalog.api.GetClinic(pb.GetClinicRequest(clinic_id=clinic.id))).clinic

    assert (now.description, now.website, now.postal_code) == ("Buka malam", "https://menteng.example", "10310")
    assert (now.version, now.cancellation_policy.version) == (clinic.version + 5, 3)
    assert [event["version"] for event in await catalog.events("clinic.changed")] == [1, 2, 3, 4, 5, 6, 7]
