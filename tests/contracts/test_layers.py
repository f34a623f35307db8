"""Imports run one way within a service: rules and statements know no use case, and no use case knows an edge."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

_SERVICES = Path(__file__).parents[2] / "services"
PACKAGES = [path.parent for path in sorted(_SERVICES.glob("*/petpro_*/domain.py"))]
EDGE = re.compile(r"servicer.*|consumer|jobs|__main__")
STATEMENTS = re.compile(r"store.*|.*_store")
BASE = [re.compile(pattern) for pattern in ("domain", "saga", "tables", rf"{STATEMENTS.pattern}|messages")]
"""What use cases rest on, the lowest first."""


def imports(package: Path) -> dict[str, set[str]]:
    """Which of its own modules each module of a package imports, in whatever block."""
    return {file.stem: set(_own(package.name, ast.parse(file.read_text()))) for file in package.glob("*.py")}


def _own(package: str, module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith(f"{package}."))


def upwards(known: dict[str, set[str]]) -> list[str]:
    """The imports that run the wrong way. A use case is whatever else imports statements."""
    floor = {name: floor for name in known for floor, names in enumerate(BASE) if names.fullmatch(name)}
    use_cases = {name for name, own in known.items() if name not in floor and any(map(STATEMENTS.fullmatch, own))}
    wrong = [
        f"{name} imports {other}"
        for name, own in known.items()
        for other in own
        if (EDGE.fullmatch(other) and not EDGE.fullmatch(name))
        or (name in floor and (other in use_cases or floor.get(other, 0) > floor[name]))
    ]
    return sorted(wrong)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_imports_run_one_way(package: Path) -> None:
    known = imports(package)
    assert any(map(STATEMENTS.fullmatch, known))
    assert any(map(EDGE.fullmatch, known))
    assert upwards(known) == []


def test_what_runs_the_other_way_is_seen() -> None:
    known = {"store": {"domain"}, "cases": {"store", "servicer"}, "domain": {"cases"}, "servicer": {"cases"}}
    assert upwards(known) == ["cases imports servicer", "domain imports cases"]
    assert upwards({"domain": {"tables"}, "tables": set()}) == ["domain imports tables"]
    assert len(PACKAGES) == 5
