"""Virtual environments for programs whose packages are not ours: other versions, or another licence."""

import hashlib
import subprocess
import sys
from pathlib import Path


def ensure(lock: Path, folder: Path, *, only_binary: bool = True) -> Path:
    """The Python of the environment in `folder`; made from the hashed lock, or made anew when that has changed.

    Without `only_binary` a package that comes as no wheel is built. Raises CalledProcessError with pip's words when the
    packages cannot be installed.
    """
    python, stamp = folder / "bin" / "python", folder / "locked"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
        options += ["--only-binary", ":all:"] if only_binary else []
        _run(str(python), "-m", "pip", "install", *options, "-r", str(lock))
        stamp.write_text(digest)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
