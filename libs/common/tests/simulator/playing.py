"""The few things around the code under test that a simulation replaces: clock, luck, ids, logs, traces."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any
from unittest import mock
from uuid import UUID

from libs.common.tests.simulator.pauses import Asyncio, Clock
from petpro_common import seldom, tasks, telemetry
from petpro_common.messaging import consumer, data_loss, lanes, outbox, relay
from petpro_common.saga import engine, timer

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def _nothing(*args: Any, **fields: Any) -> None:
    return None


class Silence:
    """A log that nobody reads."""

    def __getattr__(self, _: str) -> Any:
        return _nothing


@contextlib.contextmanager
def played(clock: Clock, dice: Random) -> Iterator[None]:
    """Has the code under test live by this clock and these dice."""
    replaced = {
        **{(module, "asyncio"): Asyncio(clock, dice) for module in (relay, lanes, data_loss, consumer, tasks)},
        (engine, "_luck"): dice.random,
        (engine, "instant_of"): lambda _: _LONG_AGO,
        (engine, "new_id"): lambda: UUID(int=dice.getrandbits(128), version=4),
        (consumer, "new_id_text"): lambda: str(UUID(int=dice.getrandbits(128), version=4)),
        (outbox, "trace_headers"): dict,
        (telemetry, "trace_headers"): dict,
        (telemetry, "span"): lambda *_: contextlib.nullcontext(),
        **{(module, "_log"): Silence() for module in (data_loss, seldom, engine, timer, consumer)},
    }
    with contextlib.ExitStack() as stack:
        for (module, name), played_one in replaced.items():
            stack.enter_context(mock.patch.object(module, name, played_one))
        yield
