"""`python -m devstack.as_in_image account`: runs a service with no more packages than its image has.

Libraries load others merely because these are there: structlog loads rich, the client of NATS loads aiohttp. What
people and other parts need would so cost each service some 13 MiB and part of its start, which no image pays; and a
requirement that a service has forgotten would show in its image alone.
"""

import gc
import re
import runpy
import sys
from collections.abc import Set
from importlib.abc import MetaPathFinder
from pathlib import Path

from devstack.layout import ROOT

_EVERYTHING = ROOT / "requirements" / "requirements.lock"
_PINNED = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)


class Absent(MetaPathFinder):
    """Lets nobody import these, as if they were not installed; what is imported already stays."""

    def __init__(self, names: Set[str]) -> None:
        self._names = names

    def find_spec(self, name: str, *_: object) -> None:
        """Raises ModuleNotFoundError for one of them, and leaves the others to whoever finds modules."""
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)


def absent(service: str) -> Set[str]:
    """Packages that are installed here and not in the service's image, by the names of their distributions."""
    return _pinned(_EVERYTHING) - _pinned(ROOT / "deploy" / "locks" / f"{service}.lock")


def _pinned(lock: Path) -> Set[str]:
    return {name.replace("-", "_") for name in _PINNED.findall(lock.read_text())}


def main(service: str) -> None:
    """Becomes the service, as `deploy/commands/serve` does in its image."""
    gc.set_threshold(700, 1_000_000)
    sys.meta_path.insert(0, Absent(absent(service)))
    runpy.run_module(f"petpro_{service}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
