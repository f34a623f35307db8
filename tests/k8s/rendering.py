"""Manifests as data: as they are written, and as kustomize renders them for each overlay."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from devstack.layout import ROOT

K8S = ROOT / "deploy/k8s"
OVERLAYS = ("dev", "production")
SOURCES = "sources"
"""All files of base, servers and overlays before kustomize sees them: they can be checked without it."""
HALF = "cronjobs.yaml"
"""In these files a CronJob says only what sets it apart; base/jobs has the rest."""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where PyYAML has it."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """All objects of one rendering."""

    name: str
    objects: tuple[Manifest, ...]

    def of(self, *kinds: str) -> list[Manifest]:
        return [found for found in self.objects if found["kind"] in kinds]

    def get(self, kind: str, name: str) -> Manifest:
        """The only object of that name; of a generated one, the name without its hash."""
        found = [each for each in self.of(kind) if each["metadata"]["name"].startswith(name)]
        exact = [each for each in found if each["metadata"]["name"] == name]
        (only,) = exact or found
        return only

    @property
    def workloads(self) -> list[Manifest]:
        return self.of("Deployment", "StatefulSet", "Job", "CronJob")

    @property
    def lasting(self) -> list[Manifest]:
        """The workloads that serve, in contrast to those that end."""
        return self.of("Deployment", "StatefulSet")


@cache
def manifests(name: str) -> Manifests:
    """Those of an overlay, or the SOURCES. Skips where an overlay cannot be rendered."""
    objects = _sources() if name == SOURCES else rendered(K8S / "overlays" / name)
    return Manifests(name, tuple(found for found in objects if found and "kind" in found))


def rendered(folder: Path) -> Iterator[Manifest]:
    """What kustomize makes of a folder. Skips where there is no kustomize."""
    command = _renderer()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is installed: the overlays cannot be rendered here")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield from yaml.load_all(done.stdout, Loader)


@cache
def combined(overlay: str, *components: str) -> Manifests:
    """An overlay with components more. Every test has the same objects: who changes one copies it."""
    with TemporaryDirectory() as made:
        folder = Path(made).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "petpro",
            "resources": [os.path.relpath(K8S / "overlays" / overlay, folder)],
            "components": [os.path.relpath(K8S / "components" / name, folder) for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return Manifests(overlay, tuple(found for found in rendered(folder) if found))


def _renderer() -> list[str] | None:
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def _sources() -> Iterator[Manifest]:
    for file in sorted(K8S.rglob("*.yaml")):
        if file.name not in ("kustomization.yaml", HALF):
            yield from (found for found in yaml.safe_load_all(file.read_text()) if isinstance(found, dict))


def pod(workload: Manifest) -> Manifest:
    """The pod's spec."""
    return dict(_template(workload)["spec"])


def labels(workload: Manifest) -> dict[str, str]:
    """The labels of the workload's pods."""
    return dict(_template(workload)["metadata"]["labels"])


def _template(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return dict(spec["template"])


def component(workload: Manifest) -> str:
    return labels(workload)["app.kubernetes.io/component"]


def containers(workload: Manifest) -> list[Manifest]:
    """Every container of the pod, those that run before it included."""
    spec = pod(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def is_dashboard(manifest: Manifest) -> bool:
    """Whether Grafana's sidecar takes it for a dashboard."""
    return bool(manifest["metadata"].get("labels", {}).get("grafana_dashboard") == "1")
