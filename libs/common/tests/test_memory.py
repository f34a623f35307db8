"""What start has made is left alone by the collector, and what was freed goes back to the system."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from petpro_common import memory

pytestmark = pytest.mark.unit

HASHES = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from argon2.low_level import Type, hash_secret_raw
from petpro_common import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

def hash_one(_):
    return hash_secret_raw(b"a bone", b"salt and pepper", 1, 19_456, 1, 32, Type.ID)

if len(sys.argv) > 1:
    memory.hoard_nothing()
hash_one(0)
before = resident()
with ThreadPoolExecutor(2) as threads:
    list(threads.map(hash_one, range(8)))
    print(resident() - before)
"""


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_frozen_is_not_looked_through(unfrozen: None) -> None:
    kept: list[list[int]] = [[] for _ in range(1000)]
    memory.freeze()
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)


def test_old_garbage_too_is_collected_once_a_service_serves(unfrozen: None) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(700, 1_000_000)  # as who starts a service does
    memory.freeze()
    assert gc.get_threshold() == usual


def test_what_hashes_took_goes_back_while_their_threads_live_on() -> None:
    """In processes of their own, since arenas are chosen once."""
    if not hasattr(memory._libc, "malloc_trim"):
        pytest.skip("only glibc keeps what was freed")
    assert _kept() >= 18, "a hash takes 19 MiB, which glibc keeps"
    assert _kept("hoard nothing") < 6


def _kept(*how: str) -> int:
    """MiB that eight hashes leave behind."""
    command = [sys.executable, "-c", HASHES, *how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
