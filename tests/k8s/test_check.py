"""`make k8s` looks at everything there is, and ends where something is wrong. What is not our own is played."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from deploy.generate import PROVIDERS, SENDERS
from devstack.layout import ROOT
from tests.k8s.rendering import K8S, OVERLAYS
from tests.k8s.test_combinations import COMPONENTS, of_overlay

pytestmark = pytest.mark.unit

WITH: Mapping[str, Sequence[str]] = {
    "all": (),
    **{name: (f"providers/{name}", f"providers/{name}/external-secret") for name in PROVIDERS},
    "senders": (*(f"senders/{name}" for name in SENDERS), *(f"senders/{name}/external-secret" for name in SENDERS)),
}
"""What overlays are rendered with, and its folders beside those of components."""
RENDERED = set(OVERLAYS) | {f"{overlay}-with-{more}" for overlay in OVERLAYS for more in WITH}
POOLER = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Pooler", "metadata": {"name": "p"}}
SPEC = {"cluster": {"name": "postgres"}, "type": "rw", "instances": 2, "pgbouncer": {"poolMode": "transaction"}}


@pytest.fixture
def played(tmp_path: Path) -> Path:
    """A folder for played programs that comes first on the path."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def play(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def run(played: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    path = {**os.environ, "PATH": f"{played}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=played, env=path, capture_output=True, text=True, check=False)


def test_every_overlay_is_rendered_alone_with_all_components_with_each_provider_and_with_all_senders(
    played: Path, tmp_path: Path
) -> None:
    play(played, "kustomize", 'cat "$2/kustomization.yaml"')
    (into := tmp_path / "rendered").mkdir()

    done = run(played, ROOT / "deploy/render.sh", into)

    assert (done.returncode, done.stderr) == (0, "")
    assert {file.stem for file in into.glob("*.yaml")} == RENDERED
    assert {folder.name for folder in (K8S / "overlays").iterdir()} == set(OVERLAYS)
    for overlay in OVERLAYS:
        for more, folders in WITH.items():
            asked = yaml.safe_load((into / f"{overlay}-with-{more}.yaml").read_text())
            folder = into / f"{overlay}-with-{more}"
            found = [(folder / each).resolve() for each in asked["components"]]
            assert [(folder / each).resolve() for each in asked["resources"]] == [K8S / "overlays" / overlay]
            own = [K8S / name for name in folders]
            others = [K8S / "components" / name for name in COMPONENTS if name not in of_overlay(overlay)]
            assert found == [*others, *own]
            assert all((each / "kustomization.yaml").exists() for each in found)


@pytest.fixture
def python(played: Path) -> Path:
    """The real one, beside the played tools that check.sh would install for it."""
    (tools := played.parent / "checks" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/locks/checks.lock", tools.parent / "installed")
    play(tools, "hadolint", "exit 0")
    play(tools, "kubernetes-validate", "echo 'WARN no schema of postgresql.cnpg.io/v1 Pooler'")
    play(played, "python", f'exec {sys.executable} "$@"')
    render(played, POOLER | {"spec": SPEC})
    return played / "python"


def render(played: Path, manifest: object) -> None:
    """Has each overlay give that object and nothing else."""
    (played / "object").write_text(yaml.safe_dump(manifest))
    play(played, "kustomize", f"cat {played}/object")


def check(python: Path) -> subprocess.CompletedProcess[str]:
    return run(python.parent, ROOT / "deploy/check.sh", python)


def test_everything_that_is_rendered_is_checked(python: Path) -> None:
    """What operators of others define, Kubernetes has no schema of: that is expected, and no fault."""
    done = check(python)
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert said.keys() == RENDERED | {"secrets", "deploy/Dockerfile"}
    assert all("1 objects of operators of others are as" in said[name] for name in RENDERED)


@pytest.mark.parametrize(
    ("says", "ends"),
    [
        ("echo 'ERROR no such field'; exit 1", "no such field"),
        ("echo 'WARN no schema of example.com/v1 Kennel'", "Kennel"),
    ],
)
def test_what_kubernetes_does_not_know_ends_it(python: Path, says: str, ends: str) -> None:
    play(python.parents[1] / "checks/bin", "kubernetes-validate", says)
    done = check(python)
    assert done.returncode != 0
    assert ends in done.stderr


def test_a_slip_in_an_object_of_an_operator_of_others_ends_it(python: Path) -> None:
    render(python.parent, POOLER | {"spec": SPEC | {"instanses": 2}})
    done = check(python)
    assert done.returncode != 0
    assert "instanses" in done.stderr


def test_what_hadolint_says_ends_it(python: Path) -> None:
    play(python.parents[1] / "checks/bin", "hadolint", "echo 'DL3002 last user should not be root'; exit 1")
    done = check(python)
    assert done.returncode != 0
    assert "DL3002" in done.stdout
