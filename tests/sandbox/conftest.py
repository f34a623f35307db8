"""One sandbox with short times for all tests that do not kill it, and as many as wanted for those that do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.sandbox.testing import Letterbox, SandboxProcess

SHORT = {"settle": 0.05, "slow": 0.5, "late": 1.5, "retry": 0.05, "retry_limit": 0.2}


@pytest.fixture(scope="session")
def letterbox() -> Iterator[Letterbox]:
    with Letterbox() as letterbox:
        yield letterbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, letterbox: Letterbox) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), letterbox.url, **SHORT) as sandbox:
        yield sandbox


@pytest.fixture
def own_letterbox() -> Iterator[Letterbox]:
    with Letterbox() as letterbox:
        yield letterbox


@pytest.fixture
def own_sandbox(tmp_path: Path, own_letterbox: Letterbox) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path, own_letterbox.url, **SHORT) as sandbox:
        yield sandbox
