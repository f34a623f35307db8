"""Prometheus and promtool: where they are, or where they come from.

They are taken from the path; else from `.tools/` of this checkout, into which Debian's package is unpacked the first
time, as an ordinary user and without installing anything.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

TOOLS = Path(__file__).parents[2] / ".tools"
_DOWNLOAD_SECONDS = 120


class NotToBeHad(Exception):
    """The message says what was tried."""


def program(name: str) -> Path:
    """The path of `promtool` or `prometheus`. Raises NotToBeHad."""
    if found := shutil.which(name):
        return Path(found)
    unpacked = TOOLS / "usr" / "bin" / name
    TOOLS.mkdir(exist_ok=True)
    with FileLock(TOOLS / "lock"):
        if not unpacked.exists():
            _unpack()
    return unpacked


def _unpack() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise NotToBeHad("there is no promtool on the path, and no apt-get to get Debian's")
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        try:
            _run(["apt-get", "download", "-q", "prometheus"], folder)
            (package,) = Path(folder).glob("prometheus_*.deb")
            _run(["dpkg", "-x", package.name, str(TOOLS)], folder)
        except (subprocess.SubprocessError, ValueError) as fault:
            raise NotToBeHad(f"there is no promtool on the path, and Debian's cannot be had: {fault}") from fault


def _run(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)
