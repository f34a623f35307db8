"""The RPC that says what people are told, as it happens."""

import random
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from grpc import aio
from prometheus_client import Counter

from petpro.notification.v1 import notification_pb2 as pb
from petpro_common.context import Caller, signed_in
from petpro_common.db import Database, Row
from petpro_notification import notifications
from petpro_notification.servicer import NotificationServicer, to_proto
from petpro_notification.settings import Settings
from petpro_notification.streams import MOST_UNSAID, Streams

ENDS = Counter("petpro_stream_ends_total", "Streams of notifications that ended with a word, by the reason", ["reason"])
_FIRST_TO_END = 0.8  # of the longest time: those that began together must not come back together
_MARGIN_SECONDS = 1.0  # before what would cut the stream off
_EARLY_SECONDS = 0.01  # a wait may end so much before its time
_Reason = pb.StreamEndReason


class StreamingServicer(NotificationServicer):
    """What a person was told, and is being told."""

    def __init__(self, database: Database, streams: Streams, settings: Settings) -> None:
        super().__init__(database)
        self._streams = streams
        self._settings = settings

    async def StreamNotifications(
        self, request: pb.StreamNotificationsRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.StreamNotificationsResponse]:
        caller = signed_in()
        ends_at, reason = self._end_of(caller, context.time_remaining())
        async with self._streams.open(caller.user_id) as stream:
            missed = await self._missed(caller.user_id, request.after)
            if len(missed) > MOST_UNSAID:
                yield _end(_Reason.STREAM_END_REASON_TOO_MUCH_MISSED)
                return
            for row in missed:
                yield _told(row)
            yield _HEARTBEAT
            known = {row.id for row in missed}  # what was told while this was read is in both
            while True:
                said = await stream.next(min(self._settings.stream_heartbeat_seconds, max(ends_at - _now(), 0)))
                if said is not None:
                    if said.id not in known:
                        yield _told(said)
                elif stream.reason is not None or _now() >= ends_at - _EARLY_SECONDS:
                    yield _end(reason if stream.reason is None else stream.reason)
                    return
                else:
                    yield _HEARTBEAT

    async def _missed(self, user_id: UUID, after: str) -> list[Row]:
        """What was told after the one with this id. Raises NotificationNotFound."""
        if not after:
            return []
        async with self._database.reading() as tx:
            return list(await notifications.missed(tx, user_id, UUID(after), MOST_UNSAID + 1))

    def _end_of(self, caller: Caller, remaining: float | None) -> tuple[float, _Reason.ValueType]:
        """When a stream ends at the latest, and why: before its token or its deadline, or when it was open for long."""
        longest = self._settings.stream_longest_seconds * random.uniform(_FIRST_TO_END, 1)  # noqa: S311  # no secret
        if remaining is not None:
            longest = min(longest, remaining - _MARGIN_SECONDS)
        of_token = caller.until - time.time() - _MARGIN_SECONDS
        if of_token < longest:
            return _now() + of_token, _Reason.STREAM_END_REASON_TOKEN_EXPIRES
        return _now() + longest, _Reason.STREAM_END_REASON_COME_BACK


_HEARTBEAT = pb.StreamNotificationsResponse(heartbeat=pb.StreamHeartbeat())


def _told(row: Row) -> pb.StreamNotificationsResponse:
    return pb.StreamNotificationsResponse(notification=to_proto(row))


def _end(reason: _Reason.ValueType) -> pb.StreamNotificationsResponse:
    ENDS.labels(_Reason.Name(reason).removeprefix("STREAM_END_REASON_").lower()).inc()
    return pb.StreamNotificationsResponse(end=pb.StreamEnd(reason=reason))


def _now() -> float:
    return time.monotonic()
