"""A virtual environment for each peer, made once from its lock: their versions are not ours."""

from pathlib import Path

from devstack import venvs
from devstack.layout import ROOT

_FOLDER = ROOT / ".run" / "bench" / "peers"


def ensure(peer: str) -> Path:
    """The Python of the peer's environment. Raises CalledProcessError when the packages cannot be installed."""
    return venvs.ensure(Path(__file__).with_name(f"requirements-{peer}.lock"), _FOLDER / peer)
