"""What may be told of a fault: its kind and where it arose. Its words only where they are our own.

Those of others may quote what they stumbled over: a row, a message, the answer of a provider, and in it a name, an
address, a payment token. So logs, parked messages and traces never hold them, and who writes one of our own exceptions
sees to it that its words name nobody.
"""

import asyncio
import sys
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Any

import structlog
from nats.errors import Error as NatsError
from psycopg import Error as DatabaseError
from structlog.typing import EventDict, WrappedLogger

from petpro_common.errors import PetProError

_PLUMBING = ("petpro_common/db.py", "petpro_common/wire.py")
_MOST_FRAMES = 50

_log = structlog.get_logger()


class OwnWords(Exception):
    """Something went wrong, and the words that say what are ours: anybody may read them."""


# NATS speaks of subjects, streams and consumers, whose names are ours.
_READABLE = (OwnWords, PetProError, NatsError)


def told(fault: BaseException) -> str:
    """A fault in one line: `ValueError in checkout (checkout.py:41)`, or its own words."""
    kind = type(fault).__name__
    if isinstance(fault, _READABLE):
        return f"{kind}: {fault}"
    if isinstance(fault, DatabaseError):
        kind = " ".join(filter(None, (kind, fault.diag.constraint_name)))
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [frame for frame in frames if "petpro_" in frame.filename and not frame.filename.endswith(_PLUMBING)]
    return f"{kind} in {ours[-1].name} ({PurePath(ours[-1].filename).name}:{ours[-1].lineno})" if ours else kind


def render(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Of structlog: `exc_info` becomes `exception`, as `account_of` has it."""
    given = event.pop("exc_info", None)
    fault = given if isinstance(given, BaseException) else (given if isinstance(given, tuple) else sys.exc_info())[1]
    if given and fault:
        event["exception"] = account_of(fault)
    return event


def account_of(fault: BaseException) -> list[dict[str, Any]]:
    """A fault, then those that led to it: kind, frames as `file:line:function` with the innermost last, own words."""
    return [
        {"kind": f"{type(each).__module__}.{type(each).__qualname__}", "frames": _frames(each.__traceback__)}
        | ({"says": str(each)} if isinstance(each, _READABLE) else {})
        for each in _chain(fault, set())
    ]


def _chain(fault: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if fault is None or id(fault) in seen:
        return
    seen.add(id(fault))
    yield fault
    for each in fault.exceptions if isinstance(fault, BaseExceptionGroup) else ():
        yield from _chain(each, seen)
    yield from _chain(fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__), seen)


def _frames(trace: TracebackType | None) -> list[str]:
    walked = list(traceback.walk_tb(trace))[-_MOST_FRAMES:]
    return [f"{_file(frame.f_code.co_filename)}:{line}:{frame.f_code.co_name}" for frame, line in walked]


def _file(path: str) -> str:
    """The path from the package on, as far as can be told."""
    return "/".join(PurePath(path).parts[-2:])


def catch_what_nobody_awaits(loop: asyncio.AbstractEventLoop) -> None:
    """Has the event loop log by these rules the faults of tasks and callbacks that nobody waits for."""
    loop.set_exception_handler(_report)


def _report(_: asyncio.AbstractEventLoop, found: dict[str, Any]) -> None:
    """The loop's own message quotes the fault; it is taken where there is none."""
    fault = found.get("exception")
    about = {"exc_info": fault} if fault else {"message": found.get("message")}
    _log.error("fault that nobody awaits", **about)


def log_the_last(_: type[BaseException], fault: BaseException, __: TracebackType | None) -> None:
    """As `sys.excepthook`: a process that ends by a fault says so in its log, by these rules."""
    if not isinstance(fault, KeyboardInterrupt):
        _log.critical("ended by a fault", exc_info=fault)
