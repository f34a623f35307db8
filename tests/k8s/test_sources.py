"""An image is known by what went into it: the label changes with every source of it, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from deploy import sources
from devstack.layout import ROOT
from tests.k8s.playing import not_these_sources

pytestmark = pytest.mark.unit

PARTS = ("account", "gateway", "petproctl", "devtools")
FILES = (
    "deploy/commands/serve",
    "deploy/sbom.py",
    *(f"deploy/locks/{part}.lock" for part in ("build", "booking", *PARTS)),
    "libs/api/petpro/py.typed",
    "libs/common/petpro_common/db.py",
    "libs/petproctl/petproctl/main.py",
    *(f"services/{service}/petpro_{service}/__main__.py" for service in ("account", "booking", "gateway")),
    "devstack/sandbox/app.py",
)
SEEN_BY = {
    "deploy/Dockerfile": {*PARTS},
    "deploy/sbom.py": {*PARTS},
    "deploy/locks/build.lock": {*PARTS},
    "deploy/commands/serve": {"account", "gateway"},
    "deploy/locks/account.lock": {"account"},
    "libs/common/petpro_common/db.py": {"account", "gateway", "petproctl"},
    "libs/petproctl/petproctl/main.py": {"petproctl"},
    "services/account/petpro_account/__main__.py": {"account"},
    "services/account/policy.yaml": {"account"},
    "devstack/sandbox/app.py": {"devtools"},
    "services/account/tests/test_users.py": set(),
    "services/account/petpro_account/__pycache__/__main__.cpython-311.pyc": set(),
    "libs/common/petpro_common.egg-info/PKG-INFO": set(),
    "docs/operations.md": set(),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository with this one's Dockerfile."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    for name in (sources.DOCKERFILE, ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _digests(root: Path) -> dict[str, str]:
    return {part: sources.digest(part, root) for part in PARTS}


@pytest.mark.parametrize(("changed", "parts"), SEEN_BY.items())
def test_a_change_is_seen_by_the_images_that_it_goes_into(root: Path, changed: str, parts: set[str]) -> None:
    before = _digests(root)
    (root / changed).parent.mkdir(parents=True, exist_ok=True)
    with (root / changed).open("a") as file:
        file.write("# and a little more")
    after = _digests(root)
    assert {part for part in PARTS if after[part] != before[part]} == parts


def test_a_name_and_a_mode_are_seen_and_a_time_is_not(root: Path) -> None:
    digests = [sources.digest("account", root)]
    command = root / "deploy/commands/serve"
    command.touch()
    assert sources.digest("account", root) == digests[0]
    command.chmod(0o755)
    digests.append(sources.digest("account", root))
    command.rename(command.with_name("server"))
    digests.append(sources.digest("account", root))
    assert len(set(digests)) == 3


def test_what_is_no_part_has_no_digest(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="kennel"):
        sources.digest("kennel", root)


def test_an_image_of_other_sources_is_told_with_what_builds_it() -> None:
    assert not_these_sources("account", sources.digest("account", ROOT)) == ""
    for label, word in ((None, "not here"), ("", "other sources"), ("5f2c", "other sources")):
        said = not_these_sources("account", label)
        assert word in said
        assert "`make images PARTS=account`" in said
