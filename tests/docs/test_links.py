"""What documents point to is there: files of the repository, and headings in them."""

import re
from pathlib import Path

import pytest

from devstack.layout import ROOT

pytestmark = pytest.mark.unit

FOLDERS = ("docs", "services", "libs", "bench", "devstack")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _prose(document: Path) -> str:
    return _FENCED.sub("", document.read_text())


def _anchors(document: Path) -> set[str]:
    """The headings as a link names them: in small letters, with hyphens, without signs."""
    headings = re.findall(r"^#+ (.+)$", _prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in _LINK.findall(_prose(document)):
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_documents_have_links() -> None:
    assert sum(len(_LINK.findall(_prose(document))) for document in DOCUMENTS) > 150
