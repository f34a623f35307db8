"""Publishing in order: each aggregate's messages one after the other, different aggregates side by side."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError

from petpro_common import kill_points, telemetry
from petpro_common.db import Row
from petpro_common.faults import told
from petpro_common.kill_points import Moment
from petpro_common.messaging import data_loss
from petpro_common.messaging.broker import REQUEST_SECONDS, Broker
from petpro_common.messaging.outbox import Outgoing
from petpro_common.messaging.subjects import ID_HEADER
from petpro_common.seldom import Seldom

Acknowledged = tuple[int, str, int]
Waiting: TypeAlias = Outgoing | Row


class Lanes:
    """A lane for each aggregate. `answered_at` is when the broker last answered one of them, by the loop's clock."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._seldom = Seldom()
        self.answered_at = float("-inf")

    async def publish(self, rows: Sequence[Waiting]) -> list[Acknowledged]:
        """Publishes, and returns what the broker has: fewer than were given when a lane has failed."""
        by_aggregate = sorted(rows, key=lambda row: (row.aggregate, row.id))
        lanes = [list(lane) for _, lane in groupby(by_aggregate, key=lambda row: row.aggregate)]
        alone = len(lanes) == 1  # no tasks for a message that comes alone
        taken = [await self._publish_lane(*lanes)] if alone else await asyncio.gather(*map(self._publish_lane, lanes))
        acknowledged = [ack for lane in taken for ack in lane]
        for stream, number in Counter(stream for _, stream, _ in acknowledged).items():
            telemetry.MESSAGES_PUBLISHED.labels(stream).inc(number)
        return acknowledged

    async def _publish_lane(self, rows: Iterable[Waiting]) -> list[Acknowledged]:
        """Publishes one aggregate's messages one after the other, and stops at the first that fails."""
        done: list[Acknowledged] = []
        for row in rows:
            headers = {**row.headers, ID_HEADER: row.message_id}
            kill_points.reach(Moment.BEFORE_PUBLISH, row.subject)
            try:
                with telemetry.published(row.subject, headers) as traced:
                    ack = await self._broker.publish(row.subject, bytes(row.payload), traced)
            except NoStreamResponseError:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REQUEST_SECONDS):
                        await self._broker.ensure_streams()
                return done
            except (NatsError, OSError, TimeoutError) as fault:
                if not isinstance(fault, OSError):  # as time-outs are: any other is an answer
                    self._answered()
                self._seldom.warning(
                    "publish failed", subject=row.subject, message_id=row.message_id, cause=told(fault)
                )
                return done
            kill_points.reach(Moment.AFTER_PUBLISH, row.subject)
            self._answered()
            if ack.duplicate and not await data_loss.has(self._broker, ack.stream, ack.seq, row.message_id):
                return done  # it lost the message and still knows the id: it takes no copy until that is forgotten too
            done.append((row.id, ack.stream, ack.seq))
        return done

    def _answered(self) -> None:
        self.answered_at = asyncio.get_running_loop().time()
