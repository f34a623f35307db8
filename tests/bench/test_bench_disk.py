"""What a year of bookings takes on the disk: plain arithmetic on what was counted."""

import pytest

from bench import disk


def test_what_is_kept_for_a_week_is_there_for_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "BYTES", {"booking": {7: 1_000, disk.YEAR: 0}})
    assert disk.gigabytes("booking", 1) == pytest.approx(7 * 1_000 * 60_000 / 1e9)


def test_ten_times_the_load_takes_ten_times_the_disk() -> None:
    assert disk.gigabytes("payment", 10) == pytest.approx(10 * disk.gigabytes("payment", 1))
    (_, _, *services) = disk.rows((1, 10))
    assert [row[0] for row in services] == list(disk.BYTES)
