"""What a service writes to its log, and what never."""

import json
import subprocess
import sys

_SIGN_IN_FAILS = """
import structlog
from petpro_common import telemetry

telemetry.configure_logging("account", "info")

def sign_in(password):
    raise ValueError("the hash is broken")

try:
    sign_in("kucing-oranye")
except ValueError as fault:
    structlog.get_logger().error("call failed", exc_info=fault)
"""


def test_a_fault_is_logged_with_its_frames_and_without_what_they_held() -> None:
    said = subprocess.run([sys.executable, "-c", _SIGN_IN_FAILS], capture_output=True, text=True, check=True).stdout
    (fault,) = json.loads(said)["exception"]
    assert fault["exc_value"] == "the hash is broken"
    assert [frame["name"] for frame in fault["frames"]] == ["<module>", "sign_in"]
    assert not any(frame.get("locals") for frame in fault["frames"])
    assert "oranye" not in said
