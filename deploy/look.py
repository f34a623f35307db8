"""`python look.py MODULE`, inside of an image and as its user: whether it is fit to serve, and holds nothing more.

Prints what is wrong and ends with status 1, or a line that begins with `looked: `. `deploy/images.sh` asks.
"""

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

HOME = Path("/opt/petpro")
COMPILER = re.compile(r"(.+-)?(gcc|g\+\+|cc|c\+\+|clang|clang\+\+|tcc|ld|as|make|cargo|rustc|go)(-[\d.]+)?")
INSTALLERS = {"pip", "setuptools", "wheel", "uv"}


def faults(held: dict[str, str], billed: dict[str, str]) -> Iterator[str]:
    """What should not be. `held`, `billed`: versions of packages as the interpreter sees them, and as the bill says."""
    if 0 in (os.getuid(), os.getgid()):
        yield "it runs as root"
    folders = [Path(each) for each in os.get_exec_path() if Path(each).is_dir()]
    if found := [each.name for folder in folders for each in folder.iterdir() if COMPILER.fullmatch(each.name)]:
        yield f"it has a compiler: {found}"
    own = [each for each in (HOME, *HOME.rglob("*")) if not each.is_symlink()]
    if found := [str(each) for each in own if os.access(each, os.W_OK)]:
        yield f"its user may change what it runs: {found[:3]}"
    if found := sorted(held.keys() & INSTALLERS):
        yield f"it can install packages: {found}"
    if held != billed:
        yield f"its bill differs from what it holds: {sorted(held.items() ^ billed.items())}"


def main(module: str) -> int:
    held = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): each.version for each in distributions()}
    bill = json.loads((HOME / "sbom.cdx.json").read_text())
    wrong = list(faults(held, {each["name"]: each["version"] for each in bill["components"]}))
    for fault in wrong:
        print(fault, file=sys.stderr)
    importlib.import_module(f"{module}.__main__")  # everything that it needs is there
    print(f"looked: user {os.getuid()}, no compiler, {len(held)} packages and as many in its bill")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
