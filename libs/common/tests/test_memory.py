"""What start has made is left alone by the collector, and what was freed goes back to the system."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from petpro_common import memory

pytestmark = pytest.mark.unit

HASHES = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from argon2.low_level import Type, hash_secret_raw
from petpro_common import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

def hash_one(_):
    return hash_secret_raw(b"a bone", b"salt and pepper", 1, 19_456, 1, 32, Type.ID)

memory.share_one_arena()
hash_one(0)
before = resident()
with ThreadPoolExecutor(2) as threads:
    list(threads.map(hash_one, range(8)))
    in_use = resident()
    memory.give_back()
    print(in_use - before, resident() - before)
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


def test_what_threads_took_goes_back_while_they_live_on() -> None:
    """In a process of its own, since arenas are chosen once."""
    if not hasattr(memory._libc, "malloc_trim"):
        pytest.skip("only glibc keeps what was freed")
    ran = subprocess.run([sys.executable, "-c", HASHES], capture_output=True, text=True, check=True)
    kept, left = (int(word) for word in ran.stdout.split())
    assert kept >= 18, "a hash takes 19 MiB, which glibc keeps"
    assert left < 6
