"""Memory of a process that lives for long."""

import asyncio
import ctypes
import gc

_GIVE_BACK_EVERY_SECONDS = 30.0
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others give back by themselves


def freeze() -> None:
    """Has no later garbage collection look through what there is now.

    That takes a tenth of a second on a slow machine, in which no call is answered.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Gives what the C libraries have freed back to the system: passwords' hashes alone leave 19 MiB on each thread."""
    if _malloc_trim:
        _malloc_trim(0)


async def keep_giving_back() -> None:
    """Gives memory back now and then until cancelled; it takes less than a millisecond."""
    while True:
        await asyncio.sleep(_GIVE_BACK_EVERY_SECONDS)
        give_back()
