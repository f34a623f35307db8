"""A rendered Deployment in containers of this machine, by `podman kube play`, beside a dev stack's database and broker.

podman takes the manifest as it is, but for what it does not know: the host's network maps no ports, and volumes that
are put together of several objects are folders of the host.
"""

import asyncio
import json
import os
import shutil
import subprocess
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy import sources
from devstack.layout import ROOT
from devstack.ports import Ports
from devstack.running import RunningStack
from devstack.services import settings
from devstack.testing import surroundings_of
from tests.k8s.rendering import Manifest, manifests

PODMAN = shutil.which("podman")
NO_SYSTEMD = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""For machines without systemd, or that may not raise limits."""


class CannotPlay(Exception):
    """This machine lets podman start no container."""


@dataclass(frozen=True)
class Played:
    """A service that runs in a container."""

    container: str
    grpc_address: str
    configuration: Path

    async def inspect(self) -> dict[str, Any]:
        """What podman says of the container."""
        found: list[dict[str, Any]] = json.loads(await self._done("inspect", self.container))
        return found[0]

    async def status(self) -> dict[str, str]:
        """`/proc/PID/status` of the first process, as the kernel of this machine sees it."""
        return _status((await self.inspect())["State"]["Pid"])

    async def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the container."""
        return await podman(self.configuration, "exec", self.container, *command)

    async def _done(self, *words: str) -> str:
        done = await podman(self.configuration, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def image_of(service: str) -> str:
    return f"localhost/petpro/{service}:dev"


def why_not(service: str) -> str:
    """Why the service cannot be played from its image; empty when podman is here with an image of these sources."""
    if PODMAN is None:
        return "podman is not here"
    command = [PODMAN, "image", "inspect", image_of(service), "--format", f'{{{{index .Labels "{sources.LABEL}"}}}}']
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return not_these_sources(service, found.stdout.strip() if found.returncode == 0 else None)


def not_these_sources(service: str, label: str | None) -> str:
    """What is wrong with an image of the service that has this label, or with none; empty when nothing is."""
    if label == sources.digest(service, ROOT):
        return ""
    wrong = "is not here" if label is None else "was built from other sources than these"
    return f"the image {image_of(service)} {wrong}: `make images PARTS={service}` builds it"


async def play(stack: RunningStack, service: str, folder: Path) -> Played:
    """Starts a container of the service, whose database the stack has migrated. Raises CannotPlay."""
    ports = Ports.for_new_stack(folder / "ports.json")
    objects = _for_podman(stack, service, ports, folder)
    (folder / "pod.yaml").write_text(yaml.safe_dump_all(objects))
    configuration = folder / "containers.conf"
    configuration.write_text(NO_SYSTEMD)
    started = await podman(configuration, "kube", "play", "--network", "host", str(folder / "pod.yaml"))
    if started.returncode != 0:
        await end(folder)
        raise CannotPlay(started.stderr.strip().splitlines()[-1])
    return Played(f"petpro-{service}-pod-0-service", ports.address("grpc"), configuration)


async def end(folder: Path) -> None:
    """Removes what `play` started in that folder."""
    await podman(folder / "containers.conf", "kube", "down", str(folder / "pod.yaml"))


async def podman(configuration: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """runc where there is one: Debian's crun refuses machines that have both kinds of cgroups."""
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    env = {**os.environ, "CONTAINERS_CONF": str(configuration)}
    command = [str(PODMAN), *runtime, *words]
    return await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, check=False)


def _for_podman(stack: RunningStack, service: str, ports: Ports, folder: Path) -> list[Manifest]:
    """The rendered Deployment and its settings, with the addresses of this machine and files from its folders."""
    dev, around = manifests("dev"), surroundings_of(stack)
    deployment = deepcopy(dev.get("Deployment", f"petpro-{service}"))
    told = deepcopy(dev.get("ConfigMap", f"petpro-settings-{service}"))
    prefix = f"PETPRO_{service.upper()}_"
    here = settings(around, service) | {
        f"{prefix}GRPC_ADDRESS": ports.address("grpc"),
        f"{prefix}METRICS_ADDRESS": ports.address("metrics"),
    }
    inside = {f"{prefix}SECRETS_DIR", f"{prefix}SERVICE_JWKS_FILE"}
    told["data"] |= {name: value for name, value in here.items() if name in told["data"].keys() - inside}
    pod: Any = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container |= {"image": image_of(service), "imagePullPolicy": "Never"}
    del container["ports"]
    files = {"secrets": around.secrets.folder(service), "service-keys": around.layout.service_jwks.parent}
    for volume in pod["volumes"]:
        if found := files.get(volume["name"]):
            copied = shutil.copytree(found, folder / volume["name"], copy_function=_readable)
            volume.clear()
            volume |= {"name": copied.name, "hostPath": {"path": str(copied), "type": "Directory"}}
            copied.chmod(0o755)
    return [deployment, told]


def _readable(source: str, target: str) -> str:
    """Copied so that the image's user may read it, as Kubernetes gives it to the pod's group."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o444)
    return target
