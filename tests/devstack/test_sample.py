"""The sample data: possible places, loaded once however often it is asked for."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import yaml

from devstack import sample
from devstack.api import Api, Json, open_client
from devstack.running import RunningStack

CLINICS: list[Json] = yaml.safe_load(sample.DATA.read_text())["clinics"]
INDONESIAN_ZONES = {"Asia/Jakarta", "Asia/Pontianak", "Asia/Makassar", "Asia/Jayapura"}
MENTENG: dict[str, Any] = {"latitude": -6.1953, "longitude": 106.8327}


@pytest.mark.unit
def test_every_clinic_has_its_own_name_and_stands_in_indonesia() -> None:
    assert len(CLINICS) >= 36
    assert Counter(clinic["name"] for clinic in CLINICS).most_common(1)[0][1] == 1
    for clinic in CLINICS:
        latitude, longitude = clinic["at"]
        assert -11 < latitude < 6, clinic["name"]
        assert 95 < longitude < 141, clinic["name"]
        assert clinic.get("timezone", "Asia/Jakarta") in INDONESIAN_ZONES


@pytest.mark.unit
def test_clocks_go_east_with_the_clinics() -> None:
    zone_of = {"Asia/Jakarta": 7, "Asia/Pontianak": 7, "Asia/Makassar": 8, "Asia/Jayapura": 9}
    east = sorted(CLINICS, key=lambda clinic: clinic["at"][1])
    hours = [zone_of[clinic.get("timezone", "Asia/Jakarta")] for clinic in east]
    assert hours == sorted(hours)


@pytest.fixture(autouse=True)
def few_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weeks of slots would show nothing more."""
    monkeypatch.setattr(sample, "DAYS_AHEAD", 4)


CATALOG = """
    WITH loaded AS (SELECT id FROM clinics WHERE name = ANY(%(names)s))
    SELECT id FROM loaded
    UNION ALL SELECT id FROM staff WHERE clinic_id IN (TABLE loaded)
    UNION ALL SELECT id FROM services WHERE clinic_id IN (TABLE loaded)
"""
SLOTS = "SELECT id FROM slots WHERE clinic_id = ANY(%(ids)s)"


def everything(stack: RunningStack) -> set[UUID]:
    """The ids of all clinics that are named like one of the sample, and of their staff, services and slots."""
    catalog, booking = (stack.endpoints["services"][name]["dsn"] for name in ("catalog", "booking"))
    with psycopg.connect(catalog) as connection:
        ids = {row[0] for row in connection.execute(CATALOG, {"names": [clinic["name"] for clinic in CLINICS]})}
    with psycopg.connect(booking) as connection:
        return ids | {row[0] for row in connection.execute(SLOTS, {"ids": list(ids)})}


async def test_loading_twice_is_loading_once(stack: RunningStack) -> None:
    endpoints = stack.endpoints
    await sample.load_through(endpoints["gateway_url"], endpoints["users"])
    once = everything(stack)
    await sample.load_through(endpoints["gateway_url"], endpoints["users"])
    assert everything(stack) == once
    assert len(once) > len(CLINICS) * 50


async def test_somebody_in_menteng_finds_a_free_slot_around_the_corner(stack: RunningStack) -> None:
    endpoints = stack.endpoints
    await sample.load_through(endpoints["gateway_url"], endpoints["users"])
    last = datetime.now(UTC).date() + timedelta(days=sample.DAYS_AHEAD)
    async with open_client(endpoints["gateway_url"]) as client:
        api = Api(client)
        near = (await api.get("/v1/clinics", **MENTENG, query="Cikini"))["clinics"][0]
        assert near["name"] == "Klinik Hewan Cikini"
        assert near["cancellation_policy"]["no_show_fee_percent"] == 70
        assert near["distance_km"] == pytest.approx(0.76, abs=0.05)
        services = (await api.get(f"/v1/clinics/{near['id']}/services"))["services"]
        assert {service["name"]: service["price"]["amount"] for service in services}["Vaccination"] == "270000.00"
        own = {each["name"]: each["cancellation_policy"]["tiers"] for each in services if "cancellation_policy" in each}
        assert {name: tiers[0] for name, tiers in own.items()} == {
            "Sterilisation": {"min_hours_before": 72, "refund_percent": 100}
        }
        for service in services:
            query = {"from_date": last - timedelta(days=1), "to_date": last, "available_only": True}
            assert (await api.get(f"/v1/services/{service['id']}/slots", **query))["slots"], service["name"]
        assert not (await api.get("/v1/clinics", query="Rawamangun"))["clinics"]
