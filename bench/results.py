"""What was measured, kept as JSON beside the page that shows it."""

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.section import Options, Results, Row, Target
from devstack.layout import ROOT

FILE = ROOT / "docs" / "benchmarks" / "results.json"


def keep(name: str, about: str, options: Options, results: Results) -> None:
    """Puts a section's results in the place of its last ones."""
    kept = read()
    kept[name] = {
        "about": about,
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "options": asdict(options),
        **asdict(results),
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(_rounded(kept), indent=1, sort_keys=True) + "\n")


def read() -> dict[str, Any]:
    """All sections that were kept, by name."""
    kept: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return kept


def results_of(section: dict[str, Any]) -> Results:
    """A section's results as they were."""
    rows = [Row(**row) for row in section["rows"]]
    targets = [Target(**target) for target in section["targets"]]
    return Results(rows, targets, section["notes"], section.get("how", ""), section.get("series", {}))


def machine() -> str:
    """Processor, cores, memory, kernel and Python in words."""
    said = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in said if line.startswith("model name")), platform.machine())
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores of {model}, {gigabytes:.0f} GiB, {platform.system()} {platform.release()}, {python}"


def _rounded(value: Any) -> Any:
    """Figures with four digits that count: more would be noise in a diff."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
