"""The page keeps people's words, and has a place for every section that is kept."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import page, results
from bench.__main__ import SECTIONS
from bench.section import RATE, Options, Results, Row, Target

pytestmark = pytest.mark.unit

FOUND = Results(
    [Row("pgbench", "1 caller", [{RATE: 200.0}]), Row("hold", "1 caller", [{RATE: 100.0}], "pgbench")],
    [Target("all of pgbench", "50%", reached=False)],
    ["two cores"],
)


def test_only_what_stands_between_the_marks_is_written_anew() -> None:
    before = "Words.\n<!-- bench: holds -->\nold\n<!-- end: holds -->\nMore words."
    after = page.filled(before, "holds", r"new \1")
    assert after == "Words.\n<!-- bench: holds -->\nnew \\1\n<!-- end: holds -->\nMore words."
    with pytest.raises(LookupError, match="no place for sagas"):
        page.filled(before, "sagas", "new")


def test_a_section_tells_targets_ratios_and_notes() -> None:
    kept = {"about": "Holds.", "measured": "2026-11-25", "machine": "2 cores", "options": vars(Options())}
    text = page.section_text(kept, FOUND, "benchmarks/holds.svg")
    assert "- **missed**: all of pgbench: 50%" in text
    assert "| 1 caller | hold | 50% (50%-50%) | 100 |" in text
    assert "- two cores" in text
    assert "![Holds.](benchmarks/holds.svg)" in text


def test_what_is_missed_is_told_first() -> None:
    missed, reached = Target("fast", "slow", reached=False), Target("small", "small", reached=True)
    assert page.glance({"holds": [reached, missed], "sagas": [missed]}).splitlines()[2:] == [
        "| **missed** | holds | fast | slow |",
        "| **missed** | sagas | fast | slow |",
        "| reached | holds | small | small |",
    ]


def test_the_page_tells_every_target_that_was_measured() -> None:
    told = page.FILE.read_text()
    for name, section in results.read().items():
        for target in results.results_of(section).targets:
            assert f"| {name} | {target.asked} | {target.got} |" in told


@pytest.mark.parametrize("name", [section.NAME for section in SECTIONS if section.NAME != "smoke"])
def test_every_section_has_a_place_on_the_page(name: str) -> None:
    assert page.filled(page.FILE.read_text(), name, "text")


def test_results_come_back_as_they_were_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "kept" / "results.json")
    results.keep("holds", "Holds.", Options(), FOUND)
    results.keep("sagas", "Sagas.", Options(), Results([]))
    assert results.results_of(results.read()["holds"]) == FOUND
    assert set(results.read()) == {"holds", "sagas"}


def test_a_plot_shows_every_contestant_in_its_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "benchmarks" / "results.json")
    assert page.draw("holds", FOUND) == "benchmarks/holds.svg"
    picture = ElementTree.fromstring((tmp_path / "benchmarks" / "holds.svg").read_text())  # noqa: S314 - ours
    words = ["".join(element.itertext()) for element in picture]
    assert {"pgbench", "hold", "1 caller", "200", "100"} <= set(words)
    pgbench, hold = [float(element.get("width", "")) for element in picture if element.get("height") == "14"][:2]
    assert hold == pgbench / 2


def test_what_was_measured_over_time_is_drawn_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "benchmarks" / "results.json")
    hour = Results([Row("booking", "memory", [{"MiB": 120.0}])], how="an hour", series={"booking": [120.0, 121.0]})
    results.keep("soak", "Memory.", Options(), hour)
    assert results.results_of(results.read()["soak"]) == hour
    assert page.draw("soak", hour) == "benchmarks/soak.svg"
    assert "an hour." in page.section_text(results.read()["soak"], hour, "")
