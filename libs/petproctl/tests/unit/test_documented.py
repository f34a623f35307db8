"""Every petproctl command in a document or in `--help` is one that petproctl takes, with these options and values."""

from pathlib import Path

import pytest

from devstack.layout import ROOT
from libs.petproctl.tests.unit.documented import (
    NotTaken,
    commands_in_passing,
    commands_to_type,
    examples_of_help,
    take,
)

pytestmark = pytest.mark.unit

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "devstack/README.md", "bench/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("services/*/README.md")),
    *sorted(ROOT.glob("libs/*/README.md")),
]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_what_a_document_has_typed_is_taken(document: Path) -> None:
    for command in commands_to_type(document):
        take(command, is_whole=True)
    for command in commands_in_passing(document):
        take(command, is_whole=False)


def test_documents_have_commands_to_be_held_against_petproctl() -> None:
    assert len([each for document in DOCUMENTS for each in commands_to_type(document)]) > 60
    assert len([each for document in DOCUMENTS for each in commands_in_passing(document)]) > 60


def test_examples_of_help_are_taken() -> None:
    examples = examples_of_help()
    assert len(examples) > 20
    for example in examples:
        take(example, is_whole=True)


@pytest.mark.parametrize(
    "command",
    [
        "petproctl sagas list",
        "petproctl saga mend ID",
        "petproctl saga list --state parked",
        "petproctl users list --role vet",
        "petproctl users suspend 12 --reason why",
        "petproctl users suspend ID",
    ],
)
def test_what_petproctl_does_not_take_is_found(command: str) -> None:
    with pytest.raises(NotTaken):
        take(command, is_whole=True)
