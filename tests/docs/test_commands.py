"""Commands that documents have people type in a cluster work as they stand, and a second time too."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_links import DOCUMENTS

pytestmark = pytest.mark.unit

_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_MAKES_A_JOB = re.compile(r"create job --from=cronjob/\S+ (\S+(?: \+%s\))?)")
_NAMES_A_JOB = re.compile(r"^ *(\w+)=\S+-\$\(date \+%s\)$", re.MULTILINE)


def _searches_in_logs(document: Path) -> list[tuple[str, str]]:
    blocks = _FENCE.findall(document.read_text())
    return [found for block in blocks if "kubectl" in block for found in re.findall(r"jq (-\w+) '([^']+)'", block)]


def test_a_job_made_by_hand_has_a_name_of_its_own() -> None:
    """It stays for a day, in which the same name is refused."""
    named = 0
    for document in DOCUMENTS:
        text = document.read_text()
        anew = {f"${variable}" for variable in _NAMES_A_JOB.findall(text)}
        for name in _MAKES_A_JOB.findall(text):
            assert name in anew or name.rstrip("`.,;:").endswith("-$(date +%s)"), f"{document.name}: {name}"
            named += 1
    assert named >= 5


def test_the_search_in_the_logs_of_all_pods_passes_over_what_is_not_json() -> None:
    """NATS's lines are not, and lines that only look like numbers or texts are no objects."""
    (search,) = [each for document in DOCUMENTS for each in _searches_in_logs(document)]
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed: the search is not tried")
    ours = {"event": "saga ended", "booking_id": "..."}
    lines = ["[7] 2026/11/28 00:00:01 [INF] Server is ready", "7", json.dumps(ours), '{"booking_id": "another"}']
    said = subprocess.run(["jq", *search], input="\n".join(lines), capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert [json.loads(line) for line in said.stdout.splitlines()] == [ours]
