"""Prints what a Python environment holds as CycloneDX 1.6; the same packages give the same text."""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def bill(name: str) -> dict[str, Any]:
    """All distributions that the running interpreter sees, by name, as parts of an application of that name."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name, "bom-ref": name}},
        "components": sorted(map(_component, distributions()), key=lambda each: str(each["bom-ref"])),
    }


def _component(found: Distribution) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    url = f"pkg:pypi/{name}@{found.version}"
    component = {"type": "library", "name": name, "version": found.version, "purl": url, "bom-ref": url}
    licence = found.metadata.json.get("license_expression")
    return component | ({"licenses": [{"expression": licence}]} if licence else {})


if __name__ == "__main__":
    print(json.dumps(bill(sys.argv[1]), indent=1))
