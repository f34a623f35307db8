"""A file that a person writes can be seen at a glance: no Python file but a generated one is longer than 300 lines."""

from pathlib import Path

import pytest

from devstack.layout import ROOT

pytestmark = pytest.mark.unit

MOST_LINES = 300
GENERATED = (ROOT / "libs/api/petpro", ROOT / "libs/api/buf")
FILES = [
    file
    for file in (*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py"))
    if "build" not in file.relative_to(ROOT).parts and not any(map(file.is_relative_to, GENERATED))
]


def too_long(files: list[Path]) -> dict[str, int]:
    """The files that are, and how long they are."""
    lines = {str(file): len(file.read_text().splitlines()) for file in files}
    return {file: number for file, number in lines.items() if number > MOST_LINES}


def test_no_file_is_too_long() -> None:
    assert Path(__file__) in FILES
    assert too_long(FILES) == {}


def test_what_is_too_long_is_seen(tmp_path: Path) -> None:
    long, short = tmp_path / "long.py", tmp_path / "short.py"
    long.write_text("pass\n" * (MOST_LINES + 1))
    short.write_text("pass\n" * MOST_LINES)
    assert too_long([long, short]) == {str(long): MOST_LINES + 1}
