"""Finding a clinic: by place, by city, by words; in pages that hold each clinic once."""

import asyncio
import math
from typing import Any

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import store_clinics
from petpro_catalog.domain import ClinicStatus
from petpro_catalog.store_clinics import Point, Wanted
from services.catalog.tests.people import Catalog, Headers, Person, broken_fields, reason

PLACES = {
    "Menteng": (-6.1953, 106.8327),
    "Kemang": (-6.2607, 106.8137),
    "Bogor": (-6.5971, 106.8060),
    "Bandung": (-6.9147, 107.6098),
    "Surabaya": (-7.2575, 112.7521),
    "Denpasar": (-8.6705, 115.2126),
    "Jayapura": (-2.5916, 140.6690),
}
MONAS = (-6.1754, 106.8272)
MEAN_EARTH_RADIUS_KM = 6371.0088


def haversine_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The way over a sphere of the earth's mean radius, by a formula that the database does not use."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, place)) for place in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * MEAN_EARTH_RADIUS_KM * math.asin(math.sqrt(half))


async def all_places(catalog: Catalog) -> dict[str, pb.Clinic]:
    clinics = [
        await catalog.approved(name=name, city=name, latitude=place[0], longitude=place[1])
        for name, place in PLACES.items()
    ]
    return {clinic.name: clinic for clinic in clinics}


async def found(catalog: Catalog, headers: Headers = (), **request: Any) -> list[pb.Clinic]:
    reply = await catalog.api.ListClinics(pb.ListClinicsRequest(**request), metadata=headers)
    return list(reply.clinics)


async def names(catalog: Catalog, headers: Headers = (), **request: Any) -> list[str]:
    return [clinic.name for clinic in await found(catalog, headers, **request)]


async def every_page(catalog: Catalog, headers: Headers = (), **request: Any) -> list[str]:
    ids: list[str] = []
    token = ""
    while True:
        reply = await catalog.api.ListClinics(pb.ListClinicsRequest(**request, page_token=token), metadata=headers)
        ids += [clinic.id for clinic in reply.clinics]
        token = reply.next_page_token
        if not token:
            return ids
        assert len(reply.clinics) == request["page_size"]


async def test_the_smallest_numbers_that_there_are_make_a_search_like_others(catalog: Catalog) -> None:
    zero = await catalog.approved(name="Null Island", latitude=0.0, longitude=0.0)
    least = math.ulp(0.0)
    for latitude, longitude, radius_km in ((least, -least, 0.0), (-least, least, least), (0.0, 1e-300, 1e-200)):
        near = await found(catalog, latitude=latitude, longitude=longitude, radius_km=radius_km)
        assert [clinic.id for clinic in near] == [zero.id]
    assert not await found(catalog, latitude=90.0, longitude=least, radius_km=500.0)


async def test_the_nearest_comes_first_and_the_distance_is_true(catalog: Catalog) -> None:
    await all_places(catalog)
    clinics = await found(catalog, latitude=MONAS[0], longitude=MONAS[1], radius_km=500)
    assert [clinic.name for clinic in clinics] == ["Menteng", "Kemang", "Bogor", "Bandung"]
    for clinic in clinics:
        assert clinic.distance_km == pytest.approx(haversine_km(MONAS, PLACES[clinic.name]), rel=0.002)


async def test_the_radius_is_a_circle_and_twenty_five_kilometres_unless_told(catalog: Catalog) -> None:
    await all_places(catalog)
    here: dict[str, Any] = {"latitude": MONAS[0], "longitude": MONAS[1]}
    bogor = haversine_km(MONAS, PLACES["Bogor"])
    assert await names(catalog, **here) == ["Menteng", "Kemang"]
    assert await names(catalog, **here, radius_km=bogor * 0.99) == ["Menteng", "Kemang"]
    assert await names(catalog, **here, radius_km=bogor * 1.01) == ["Menteng", "Kemang", "Bogor"]


async def test_the_corners_of_the_box_around_the_circle_are_not_in_it(catalog: Catalog) -> None:
    north_east = (MONAS[0] + 0.2, MONAS[1] + 0.2)
    await catalog.approved(name="Sudut", latitude=north_east[0], longitude=north_east[1])
    away = haversine_km(MONAS, north_east)
    assert await names(catalog, latitude=MONAS[0], longitude=MONAS[1], radius_km=away * 0.95) == []
    assert await names(catalog, latitude=MONAS[0], longitude=MONAS[1], radius_km=away * 1.05) == ["Sudut"]


async def test_the_date_line_is_no_border(catalog: Catalog) -> None:
    await catalog.approved(name="East of it", latitude=-16.8, longitude=-179.9)
    clinics = await found(catalog, latitude=-16.8, longitude=179.9)
    assert [clinic.name for clinic in clinics] == ["East of it"]
    assert clinics[0].distance_km == pytest.approx(haversine_km((-16.8, 179.9), (-16.8, -179.9)), rel=0.002)


async def test_a_clinic_without_a_place_is_found_by_everything_else(catalog: Catalog) -> None:
    await catalog.approved(name="Keliling")
    assert await names(catalog, latitude=MONAS[0], longitude=MONAS[1], radius_km=500) == []
    assert await names(catalog) == ["Keliling"]


async def test_a_city_is_found_in_any_spelling_of_its_letters(catalog: Catalog) -> None:
    await all_places(catalog)
    assert await names(catalog, city="bANDUNG ") == ["Bandung"]
    assert await names(catalog, city="Bandun") == []


async def test_every_word_must_be_part_of_name_or_description(catalog: Catalog) -> None:
    await catalog.approved(name="Klinik Hewan Menteng", description="Bedah dan vaksinasi")
    await catalog.approved(name="Rumah Sakit Hewan Kemang", description="Bedah 24 jam")
    assert await names(catalog, query="hewan") == ["Klinik Hewan Menteng", "Rumah Sakit Hewan Kemang"]
    assert await names(catalog, query="BEDAH menteng") == ["Klinik Hewan Menteng"]
    assert await names(catalog, query="vaksin kemang") == []


async def test_signs_are_looked_for_as_they_are(catalog: Catalog) -> None:
    await catalog.approved(name="Menteng")
    for query in ("100%", "_", "\\", "'OR-1=1--", "$$"):
        await catalog.approved(name=f"Klinik {query}")
        assert await names(catalog, query=query) == [f"Klinik {query}"]


async def test_words_city_and_place_narrow_each_other(catalog: Catalog) -> None:
    await all_places(catalog)
    here: dict[str, Any] = {"latitude": MONAS[0], "longitude": MONAS[1], "radius_km": 500}
    assert await names(catalog, **here, query="b") == ["Bogor", "Bandung"]
    assert await names(catalog, **here, query="b", city="Bogor") == ["Bogor"]


async def test_pages_hold_every_clinic_once_also_those_at_one_place_with_one_name(catalog: Catalog) -> None:
    spots = [(MONAS[0] + ring * 0.01, MONAS[1]) for ring in (0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 3)]
    made = await asyncio.gather(
        *(catalog.approved(name="Klinik Kembar", latitude=lat, longitude=lon) for lat, lon in spots)
    )
    ids = {clinic.id for clinic in made}
    for size in (1, 3, 4, 11, 12):
        near = await every_page(catalog, latitude=MONAS[0], longitude=MONAS[1], page_size=size)
        by_name = await every_page(catalog, page_size=size)
        assert len(near) == len(by_name) == len(ids)
        assert set(near) == set(by_name) == ids


async def test_a_page_token_serves_its_own_search_only(catalog: Catalog) -> None:
    await all_places(catalog)
    first = await catalog.api.ListClinics(pb.ListClinicsRequest(page_size=2))
    for request in (
        pb.ListClinicsRequest(page_size=2, city="Bogor", page_token=first.next_page_token),
        pb.ListClinicsRequest(page_size=2, page_token="bukan-token"),
        pb.ListClinicsRequest(latitude=0, longitude=0, page_token=first.next_page_token),
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.api.ListClinics(request)
        assert reason(refused.value) == "BAD_PAGE_TOKEN"


async def test_who_sees_which_status(catalog: Catalog) -> None:
    await catalog.approved(name="Approved")
    await catalog.applied(name="Pending")
    await catalog.applied(catalog.dewi, name="Dewi's")

    assert await names(catalog) == ["Approved"]
    assert await names(catalog, catalog.sari.headers) == ["Approved"]
    assert await names(catalog, catalog.wayan.headers) == ["Approved"]
    assert await names(catalog, catalog.wayan.headers, mine=True) == ["Approved", "Pending"]
    assert await names(catalog, catalog.dewi.headers, mine=True) == ["Dewi's"]
    assert await names(catalog, catalog.sari.headers, mine=True) == []
    assert await names(catalog, catalog.admin.headers) == ["Approved", "Dewi's", "Pending"]
    assert await names(catalog, catalog.admin.headers, status=pb.CLINIC_STATUS_PENDING) == ["Dewi's", "Pending"]
    assert await names(catalog, catalog.wayan.headers, mine=True, status=pb.CLINIC_STATUS_PENDING) == ["Pending"]


async def test_strangers_cannot_ask_for_applications_nor_for_their_own(catalog: Catalog) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await found(catalog, catalog.sari.headers, status=pb.CLINIC_STATUS_PENDING)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(aio.AioRpcError) as nobody:
        await found(catalog, mine=True)
    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_whoever_works_somewhere_finds_it_among_their_own(catalog: Catalog) -> None:
    clinic = await catalog.applied(name="Pending")
    helper: Person = catalog.sari
    assert await names(catalog, helper.headers, mine=True) == []
    await catalog.employed(clinic, user_id=str(helper.id))
    assert await names(catalog, helper.headers, mine=True) == ["Pending"]


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"latitude": -6.2}, "latitude"),
    ({"longitude": 106.8}, "latitude"),
    ({"latitude": 95.0, "longitude": 0.0}, "latitude"),
    ({"latitude": math.nan, "longitude": 0.0}, "latitude"),
    ({"latitude": 0.0, "longitude": 0.0, "radius_km": 501}, "radius_km"),
    ({"page_size": 101}, "page_size"),
    ({"query": "a\x00b"}, "query"),
    ({"city": "\x00"}, "city"),
]


async def test_a_search_that_makes_no_sense_is_refused_and_the_field_is_named(catalog: Catalog) -> None:
    for request, field in NONSENSE:
        with pytest.raises(aio.AioRpcError) as refused:
            await found(catalog, **request)
        assert broken_fields(refused.value) == {field}, request


BY_ORDER, BY_CONDITION = "enable_sort", "enable_indexscan"


@pytest.mark.parametrize(
    ("wanted", "index", "unwanted_way"),
    [
        (Wanted(near=Point(*MONAS, 25)), "idx_clinics_geolocation", BY_ORDER),
        (Wanted(), "idx_clinics_name", BY_ORDER),
        (Wanted(words=("menteng",)), "idx_clinics_words", BY_CONDITION),
        (Wanted(city="Jakarta"), "idx_clinics_location", BY_CONDITION),
        (Wanted(status=ClinicStatus.PENDING), "idx_clinics_status", BY_CONDITION),
    ],
)
async def test_a_search_can_be_answered_by_its_index(
    catalog: Catalog, wanted: Wanted, index: str, unwanted_way: str
) -> None:
    await all_places(catalog)
    async with catalog.database.transaction() as tx:
        # So few rows would be read one by one; what counts is that the index fits the statement at all.
        await tx.execute(text("SET LOCAL enable_seqscan = off"))
        await tx.execute(text(f"SET LOCAL {unwanted_way} = off"))
        await store_clinics.search(tx, wanted, None, None, 20)
        scans = await tx.execute(text("SELECT pg_stat_get_xact_numscans(CAST(:index AS regclass))"), {"index": index})
        assert scans.scalar_one() > 0
