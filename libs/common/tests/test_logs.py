"""What a service writes to its log of a fault, and what never: words that may quote somebody's secret."""

import json
import subprocess
import sys

import pytest

from petpro_common import faults
from petpro_common.errors import NotFound

SECRET = "kucing-oranye"

BEGIN = f"""
import asyncio, logging
import structlog
from petpro_common import faults, telemetry

telemetry.configure_logging("account", "info")

def sign_in(password="{SECRET}"):
    try:
        {{}}[password]
    except KeyError as cause:
        raise ValueError(f"the hash of {{password}} is broken") from cause
"""
WAYS = {
    "logged": """
try:
    sign_in()
except ValueError as fault:
    structlog.get_logger().error("call failed", exc_info=fault)
""",
    "logged by a library": """
try:
    sign_in()
except ValueError:
    logging.getLogger("library").exception("it failed")
""",
    "awaited by nobody": """
async def main():
    faults.catch_what_nobody_awaits(asyncio.get_running_loop())
    task = asyncio.create_task(asyncio.to_thread(sign_in))
    await asyncio.wait([task])
    del task

asyncio.run(main())
""",
    "raised by a callback": """
async def main():
    faults.catch_what_nobody_awaits(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(sign_in)
    await asyncio.sleep(0.01)

asyncio.run(main())
""",
    "the end of the process": """
sign_in()
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_is_logged_by_its_kind_and_frames_and_never_by_its_words(way: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + WAYS[way]],
        capture_output=True,
        text=True,
        check=False,
    )
    fault, cause = json.loads(ran.stdout)["exception"]
    assert (fault["kind"], cause["kind"]) == ("builtins.ValueError", "builtins.KeyError")
    assert fault["frames"][-1].endswith(":sign_in")
    assert cause["frames"] == ["<string>:10:sign_in"]
    assert SECRET not in ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert ran.returncode == (1 if way == "the end of the process" else 0)


class KennelFull(NotFound):
    """No place is left in the kennel."""


def test_words_of_our_own_are_logged() -> None:
    said = faults.account_of(KennelFull()) + faults.account_of(faults.OwnWords("walk 3 has no handler"))
    assert [each["says"] for each in said] == ["No place is left in the kennel.", "walk 3 has no handler"]


def test_all_faults_of_a_group_are_told_once() -> None:
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, other.__cause__ = other, one
    said = faults.account_of(ExceptionGroup(SECRET, [one, other]))
    assert [each["kind"] for each in said] == ["builtins.ExceptionGroup", "builtins.ValueError", "builtins.KeyError"]
    assert SECRET not in str(said)
