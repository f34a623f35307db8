"""Work is done again when, and only when, something that it reads is another."""

from pathlib import Path

import pytest

from devstack.stamp import Stamp

pytestmark = pytest.mark.unit


def test_it_is_valid_until_a_source_or_a_word_changes(tmp_path: Path) -> None:
    source, file = tmp_path / "routes.txt", tmp_path / "stamp"
    source.write_text("to the kennel")
    stamp = Stamp(file, [source], ["compile"])
    assert not stamp.is_valid()
    stamp.put()
    assert stamp.is_valid()
    assert not Stamp(file, [source], ["compile", "--twice"]).is_valid()
    assert not Stamp(file, [source, Path(__file__)], ["compile"]).is_valid()
    source.write_text("to the cattery")
    assert not stamp.is_valid()
