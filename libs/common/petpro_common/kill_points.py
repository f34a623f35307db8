"""Places at which a process can be made to kill itself, so that tests prove what survives there.

A kill point is a moment and a place: `after publish petpro.commands.payment.submit_refund`. Moments lie on both sides
of every commit, publish, mark, acknowledgement and call to the outside; the place is the call, message or task in hand.
The setting `kill_at` names a point, with shell wildcards, and `kill_on` says which passage of it is the last. Without
the setting, as in every production manifest, passing a point does nothing.
"""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

import structlog

from petpro_common import context

_log = structlog.get_logger()


class Moment(StrEnum):
    """When, at a place."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"
    BEFORE_PUBLISH = "before publish"
    AFTER_PUBLISH = "after publish"
    BEFORE_MARK = "before mark"
    AFTER_MARK = "after mark"
    BEFORE_ACK = "before ack"
    AFTER_ACK = "after ack"
    BEFORE_CALL = "before call"
    AFTER_CALL = "after call"


@dataclass
class _Switch:
    pattern: str
    passages_left: int


_switches: list[_Switch] = []


def arm(kill_at: str, kill_on: int) -> None:
    """Has the process end by SIGKILL at the `kill_on`-th passage of a point; nothing is armed by an empty `kill_at`."""
    if kill_at:
        _log.warning("a kill point is armed", kill_at=kill_at, kill_on=kill_on)
        _switches.append(_Switch(kill_at, kill_on))


def reach(moment: Moment, place: str | None = None) -> None:
    """Passes a point; without a `place` it is the call in hand, and all of a batch."""
    for switch in _switches:
        for passed in _in_hand() if place is None else (place,):
            if fnmatchcase(f"{moment} {passed}", switch.pattern):
                _pass(switch)


def _pass(switch: _Switch) -> None:
    switch.passages_left -= 1
    if switch.passages_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _in_hand() -> tuple[str, ...]:
    call = context.current()
    return (call.method, *call.others) if call else ("background",)
