"""What a service writes to its log of a fault, and what never: words that may quote somebody's secret."""

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from devstack.testing import MakeDatabase
from petpro_common import faults
from petpro_common.db import Database
from petpro_common.errors import NotFound
from petpro_common.pool import NotConnected

SECRET = "kucing-oranye"

BEGIN = f"""
import asyncio, logging, sys
import structlog
from petpro_common import faults, logs

logs.configure("account", "info")

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


def _said(doing: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A process that logs as a service does and then does that."""
    argv = [sys.executable, "-c", BEGIN + doing]
    return subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_is_logged_by_its_kind_and_frames_and_never_by_its_words(way: str) -> None:
    ran = _said(WAYS[way])
    fault, cause = json.loads(ran.stdout)["exception"]
    assert (fault["kind"], cause["kind"]) == ("builtins.ValueError", "builtins.KeyError")
    assert fault["frames"][-1].endswith(":sign_in")
    assert cause["frames"] == ["<string>:10:sign_in"]
    assert SECRET not in ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert ran.returncode == (1 if way == "the end of the process" else 0)


def test_a_line_tells_of_what_json_does_not_know() -> None:
    told = """
structlog.get_logger().info("paid", amount=2**70, reference="\\udce9", ids={1})
structlog.get_logger().debug("not asked for")
logging.getLogger("library").warning("paid")
"""
    lines = [json.loads(line) for line in _said(told).stdout.splitlines()]
    assert [(line["event"], line["level"], line["service"]) for line in lines[:1]] == [("paid", "info", "account")]
    assert (lines[0]["amount"], lines[0]["reference"], lines[0]["ids"]) == (2**70, "\udce9", "{1}")
    assert [line["event"] for line in lines[1:]] == ["paid"]


def test_a_line_that_cannot_be_written_fails_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        ran = _said('structlog.get_logger().info("paid")\nprint("it went on", file=sys.stderr)', stdout=full)
    assert ran.stderr.startswith("it went on")


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


async def test_why_no_connection_is_taken_can_be_read_and_the_password_cannot(database: MakeDatabase) -> None:
    made = await database("account")
    locked_out = Database(made.url, "not the password", pool_size=1)
    with pytest.raises(NotConnected) as refused:
        async with locked_out.transaction():
            pass
    told = faults.told(refused.value)
    assert "password authentication failed" in told
    assert "not the password" not in told
    assert "\n" not in told
