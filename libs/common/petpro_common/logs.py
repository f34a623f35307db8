"""Logs of a service: JSON lines on standard output, from structlog, which writes its own, and from libraries.

Each has the trace and request ids of the call in hand, and the saga and booking that it is about. Lines hold ids, never
personal data, tokens or bodies. What cannot be written is lost: a full disk must not fail what a line tells of.
"""

import contextlib
import json
import logging
import sys
from typing import Any, BinaryIO, cast

import orjson
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from petpro_common import context, faults


def configure(service: str, level: str) -> None:
    """Has this process log what is of `level` (a name of `logging`'s) or above."""
    described: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_ids,
        faults.render,
    ]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *described, _as_json],
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, _Output(sys.stdout.buffer))),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    of_libraries = logging.StreamHandler(sys.stdout)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=described,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _as_json, _as_text],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[of_libraries], force=True)
    for chatty in ("httpx", "httpcore"):  # urls hold references
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.excepthook = faults.log_the_last
    structlog.contextvars.bind_contextvars(service=service)


class _Output:
    """A stream that loses what it cannot write, as `logging` does."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format(span.trace_id, "032x")
    call = context.current()
    if call:
        event["request_id"] = call.request_id
    for name, id_ in context.subject().items():
        event.setdefault(name, id_)
    return event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr)
    except TypeError:  # text that is not UTF-8, or a number beyond 64 bits
        return json.dumps(event, default=repr).encode()


def _as_text(_: WrappedLogger, __: str, line: Any) -> str:
    return bytes(line).decode()
