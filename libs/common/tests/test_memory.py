"""What start has made is left alone by the collector, and what was freed goes back to the system."""

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from petpro_common import memory

pytestmark = pytest.mark.unit

BLOCK = 64 * 1024
BLOCKS = 800


def resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_frozen_is_not_looked_through(unfrozen: None) -> None:
    kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    memory.freeze()
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)


def test_freed_blocks_go_back_although_one_at_the_end_is_in_use() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("only glibc keeps what was freed")
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(ctypes.c_size_t(BLOCK)) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_mebibytes()
    memory.give_back()
    assert before - resident_mebibytes() > BLOCKS * BLOCK / (1 << 20) / 2
    libc.free(blocks[-1])
