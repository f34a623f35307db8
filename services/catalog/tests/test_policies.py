"""Policies of single services, and the fee of those who do not come: set, told, versioned, taken away."""

import asyncio
from typing import Any

import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, Person, broken_fields, mask, reason

HALF = pb.RefundTier(min_hours_before=0, refund_percent=50)
GENTLE = pb.CancellationPolicy(tiers=[HALF], no_show_fee_percent=60)
STRICT = pb.CancellationPolicy(tiers=[pb.RefundTier(min_hours_before=72, refund_percent=25)])


async def edit(catalog: Catalog, service: pb.Service, by: Person | None = None, **fields: Any) -> pb.Service:
    request = pb.UpdateServiceRequest(service_id=service.id, service=pb.Service(**fields))
    return (await catalog.api.UpdateService(request, metadata=(by or catalog.wayan).headers)).service


async def take_away(catalog: Catalog, service: pb.Service) -> pb.Service:
    request = pb.UpdateServiceRequest(
        service_id=service.id, service=pb.Service(), update_mask=mask("cancellation_policy")
    )
    return (await catalog.api.UpdateService(request, metadata=catalog.wayan.headers)).service


async def told(catalog: Catalog) -> list[Any]:
    return [event["cancellation_policy"] for event in await catalog.events("service.changed")]


async def test_a_service_has_the_clinics_policy_until_it_is_given_its_own(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    assert not service.HasField("cancellation_policy")
    edited = await edit(catalog, service, cancellation_policy=GENTLE)
    assert edited.cancellation_policy == pb.CancellationPolicy(tiers=[HALF], no_show_fee_percent=60, version=1)
    seen = (await catalog.api.GetService(pb.GetServiceRequest(service_id=service.id))).service
    assert seen == edited
    tiers = [{"min_hours_before": 0, "refund_percent": 50}]
    assert await told(catalog) == [None, {"tiers": tiers, "no_show_fee_percent": 60, "version": 1}]


async def test_versions_count_on_and_are_kept_also_over_a_time_without_a_policy(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved(), cancellation_policy=GENTLE)
    assert (await edit(catalog, service, cancellation_policy=GENTLE)).version == service.version
    assert (await edit(catalog, service, description="Dua kali setahun")).cancellation_policy.version == 1
    assert (await edit(catalog, service, cancellation_policy=STRICT)).cancellation_policy.version == 2
    assert not (await take_away(catalog, service)).HasField("cancellation_policy")
    assert (await edit(catalog, service, cancellation_policy=STRICT)).cancellation_policy.version == 3
    assert [policy and policy["version"] for policy in await told(catalog)] == [1, 1, 2, None, 3]
    query = text("SELECT version, no_show_fee_percent AS fee FROM service_policies ORDER BY version")
    async with catalog.database.transaction() as tx:
        kept = (await tx.execute(query)).all()
    assert [(row.version, row.fee) for row in kept] == [(1, 60), (2, 100), (3, 100)]


async def test_a_list_shows_each_services_own_policy(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    await catalog.offered(clinic, name="Grooming", cancellation_policy=GENTLE)
    await catalog.offered(clinic, name="Rontgen")
    listed = (await catalog.api.ListServices(pb.ListServicesRequest(clinic_id=clinic.id))).services
    assert [service.HasField("cancellation_policy") for service in listed] == [True, False]


async def test_an_administrator_may_set_it_and_another_owner_not(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    with pytest.raises(aio.AioRpcError) as refused:
        await edit(catalog, service, by=catalog.dewi, cancellation_policy=GENTLE)
    assert reason(refused.value) == "FORBIDDEN"
    assert (await edit(catalog, service, by=catalog.admin, cancellation_policy=GENTLE)).cancellation_policy.tiers


async def test_of_many_policies_at_once_each_has_a_version_of_its_own(catalog: Catalog) -> None:
    service = await catalog.offered(await catalog.approved())
    wanted = [pb.CancellationPolicy(tiers=[HALF], no_show_fee_percent=fee) for fee in range(60, 66)]
    edited = await asyncio.gather(*(edit(catalog, service, cancellation_policy=each) for each in wanted))
    assert sorted(each.cancellation_policy.version for each in edited) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("tiers", "fee"),
    [([], 99), ([(24, 100), (6, 50)], 60), ([(24, 100), (0, 50)], 49), ([(0, 1)], 98)],
)
async def test_it_never_pays_not_to_cancel(catalog: Catalog, tiers: list[tuple[int, int]], fee: int) -> None:
    spelled = [pb.RefundTier(min_hours_before=hours, refund_percent=percent) for hours, percent in tiers]
    policy = pb.CancellationPolicy(tiers=spelled, no_show_fee_percent=fee)
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.offered(await catalog.approved(), cancellation_policy=policy)
    assert broken_fields(refused.value) == {"service.cancellation_policy.no_show_fee_percent"}
    with pytest.raises(aio.AioRpcError) as refused:
        await catalog.applied(cancellation_policy=policy)
    assert broken_fields(refused.value) == {"clinic.cancellation_policy.no_show_fee_percent"}


async def test_a_clinics_fee_is_a_part_of_its_policy_and_everything_unless_it_says_so(catalog: Catalog) -> None:
    clinic = await catalog.applied()
    assert clinic.cancellation_policy.no_show_fee_percent == 100
    for version, fee in ((2, 60), (3, 50)):
        wanted = pb.CancellationPolicy(tiers=[HALF], no_show_fee_percent=fee)
        request = pb.UpdateClinicRequest(clinic_id=clinic.id, clinic=pb.Clinic(cancellation_policy=wanted))
        now = (await catalog.api.UpdateClinic(request, metadata=catalog.wayan.headers)).clinic.cancellation_policy
        assert (now.version, now.no_show_fee_percent) == (version, fee)
    events = await catalog.events("clinic.changed")
    assert [event["cancellation_policy"]["no_show_fee_percent"] for event in events] == [100, 60, 50]
