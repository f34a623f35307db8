"""Memory of a process that lives for long: little is looked through, and what is free goes back to the system.

Threads allocate from one arena: glibc gives each an arena of its own otherwise, whose free end never goes back. And
what is large is asked of the system each time: glibc keeps it after the first time otherwise, which is 19 MiB for each
password that is hashed at once.
"""

import asyncio
import ctypes
import gc

_GIVE_BACK_EVERY_SECONDS = 30.0
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
_LARGE_BYTES = 1 << 20
_COLLECTS_AFTER = (700, 10, 10)  # Python's own

_libc = ctypes.CDLL(None)
_IS_GLIBC = hasattr(_libc, "malloc_trim")  # others give back by themselves


def hoard_nothing() -> None:
    """Has all threads that start from now on allocate from the first arena, and what is large go back when freed."""
    if _IS_GLIBC:
        _libc.mallopt(_M_ARENA_MAX, 1)
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def freeze() -> None:
    """Has garbage collected as usual, but never in what there is now, and gives back what start has freed.

    Who starts a service may have put most of the collector's work off until here (`deploy/commands/serve`).
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTS_AFTER)
    give_back()


def give_back() -> None:
    """Gives what has been freed back to the system."""
    if _IS_GLIBC:
        _libc.malloc_trim(0)


async def keep_giving_back() -> None:
    """Gives memory back now and then until cancelled; it takes less than a millisecond."""
    while True:
        await asyncio.sleep(_GIVE_BACK_EVERY_SECONDS)
        give_back()
