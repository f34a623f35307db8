"""Warnings of what happens again and again: said at once, then once a minute with how often it happened."""

import time
from dataclasses import dataclass, field

import structlog

EVERY_SECONDS = 60.0

_log = structlog.get_logger()


@dataclass
class _Repeated:
    said_at: float
    times: int = 0


@dataclass
class Seldom:
    """What one part of a service warns of, each event by itself. `times`, where there is one, counts since the last."""

    _events: dict[str, _Repeated] = field(default_factory=dict)

    def warning(self, event: str, **facts: object) -> None:
        """Says it, unless the same was said within the last minute: then it is counted."""
        now = time.monotonic()
        known = self._events.get(event)
        if known is not None and now - known.said_at < EVERY_SECONDS:
            known.times += 1
            return
        times = {"times": known.times + 1} if known and known.times else {}
        self._events[event] = _Repeated(now)
        _log.warning(event, **facts, **times)
