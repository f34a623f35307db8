"""Zones go by the package that the lock pins, whatever the machine has."""

import zoneinfo  # noqa: TID251  # what goes by the machine's
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from petpro_common import zones

pytestmark = pytest.mark.unit

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def other_machine(tmp_path: Path) -> Iterator[None]:
    """A machine that has Tokyo's rules for Jakarta, and a zone that IANA does not know."""
    (tmp_path / "Asia").mkdir()
    tokyo = Path(str(files("tzdata"))) / "zoneinfo" / "Asia" / "Tokyo"
    for name in ("Jakarta", "Atlantis"):
        (tmp_path / "Asia" / name).write_bytes(tokyo.read_bytes())
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath([tmp_path])
    zones.zone.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("other_machine")
def test_the_machines_own_rules_are_not_asked() -> None:
    assert NEW_YEAR.astimezone(zoneinfo.ZoneInfo("Asia/Jakarta")).hour == 9, "it would be, without us"
    assert NEW_YEAR.astimezone(zones.zone("Asia/Jakarta")).hour == 7
    assert "Asia/Atlantis" in zoneinfo.available_timezones() - zones.names()


def test_every_zone_has_rules() -> None:
    assert len(zones.names()) > 500
    assert all(zones.zone(name).key == name for name in zones.names())
    assert zones.RULES >= "2026f"


@pytest.mark.parametrize("name", ["", "Nowhere/At_All", "../zones", "Asia"])
def test_there_are_no_others(name: str) -> None:
    with pytest.raises(KeyError):
        zones.zone(name)
