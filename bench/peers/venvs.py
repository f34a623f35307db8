"""A virtual environment for each peer, made once from its lock: their versions are not ours."""

import hashlib
import subprocess
import sys
from pathlib import Path

from devstack.layout import ROOT

_FOLDER = ROOT / ".run" / "bench" / "peers"


def ensure(peer: str) -> Path:
    """The Python of the peer's environment; made, or made anew when its lock has changed.

    Raises CalledProcessError with pip's words when the packages cannot be installed.
    """
    lock = Path(__file__).with_name(f"requirements-{peer}.lock")
    folder = _FOLDER / peer
    python, stamp = folder / "bin" / "python", folder / "locked"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        quiet = ("--quiet", "--disable-pip-version-check")
        _run(str(python), "-m", "pip", "install", *quiet, "--require-hashes", "--only-binary", ":all:", "-r", str(lock))
        stamp.write_text(digest)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
