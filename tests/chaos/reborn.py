"""A service that comes back by itself: whenever it has killed itself at its kill point, it is forked again.

What costs seconds when a service starts are its imports; a fork of a process that has them costs next to nothing, so
that a thousand kills take minutes. Everything else is as in any start: settings, connections, servers.
"""

import ctypes
import importlib
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType, ModuleType

from devstack.process import python_module
from petpro_common.service import run

_PR_SET_PDEATHSIG = 1


def reborn(part: str, pattern: str, kills: int, deaths: Path) -> list[str]:
    """The command of a part that dies `kills` times, writes how often it has, and then lives on."""
    return python_module("tests.chaos.reborn", part, pattern, str(kills), str(deaths))


def main(part: str, pattern: str, kills: int, deaths: Path) -> int:
    service = importlib.import_module(f"petpro_{part}.__main__")
    living = 0

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(living, number)

    signal.signal(signal.SIGTERM, pass_on)
    for died in range(kills + 1):
        deaths.with_suffix(".new").write_text(str(died))
        deaths.with_suffix(".new").replace(deaths)
        living = os.fork()
        if living == 0:
            _live(service, part, pattern if died < kills else "")
        _, status = os.waitpid(living, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)
    return 0


def _live(service: ModuleType, part: str, pattern: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ[f"PETPRO_{part.upper()}_KILL_AT"] = pattern
    os.environ[f"PETPRO_{part.upper()}_KILL_ON"] = str(random.randint(1, 3))
    status = 1
    try:
        run(service.main())
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
