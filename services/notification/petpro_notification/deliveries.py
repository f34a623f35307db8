"""The worker that brings notifications to people by one channel; each channel that has a sender has its own, so that
one whose server hangs holds up no other.

Invariants:

1. A due delivery is tried by one worker at a time: it is claimed with a lease that outlasts the try. What this process
   writes itself is claimed as it is written and handed over in memory after the commit; what then waits too long for
   its try, or is lost with the process, is due again after its lease, as all that is claimed.
2. Nothing is asked or sent inside a transaction.
3. A crash between sending and recording sends once more, a mail under the same Message-ID; nothing is lost by it. An
   outcome waits for no other try: those that are known while others are being recorded are recorded together after
   them. Who is told to stop ends the tries that it has begun, and gives back what it has not.
4. Address, name and wishes of a person are asked for each try and never stored or logged; nor is the token by which a
   person sets a new password or verifies an address, made for each try right before its mail leaves.
5. A mail to an address that nobody knows to be the person's holds no words that anybody chose: no name, be it of the
   person, a clinic or a service, and no reason.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import structlog
from grpc import aio
from prometheus_client import Counter, Gauge
from psycopg import Error as DatabaseError

from petpro_common import context, kill_points, tasks, telemetry
from petpro_common.coalescing import Coalescer
from petpro_common.context import CallContext
from petpro_common.db import Database
from petpro_common.kill_points import Moment
from petpro_notification import store_deliveries as store
from petpro_notification.directory import Directory
from petpro_notification.domain import (
    MUST_BE_TOLD,
    NEWS_FOR,
    WITH_A_LINK,
    Channel,
    Outcome,
    Result,
    Status,
    Suppressed,
    TryAgain,
    Type,
    goes_by,
    is_news,
    outcome_of,
    pause_after,
)
from petpro_notification.naming import Naming
from petpro_notification.notifications import DUE, is_out_of_date
from petpro_notification.senders.sender import Sender
from petpro_notification.settings import Settings
from petpro_notification.store import Due

DELIVERIES = Counter("petpro_deliveries_total", "Tries to deliver a notification, by outcome", ["channel", "outcome"])
WAITING = Gauge("petpro_deliveries_waiting", "Deliveries of notifications that are still to be made", ["channel"])
OLDEST_SECONDS = Gauge(
    "petpro_deliveries_oldest_seconds",
    "How long the oldest of petpro_deliveries_waiting has waited; 0 without any",
    ["channel"],
)
_BATCH = 16
_MOST_HANDED_OVER = 64
_Tried: TypeAlias = tuple[Due, Outcome]

_log = structlog.get_logger()


class Deliveries:
    """Takes due deliveries and brings them to people; see the module."""

    def __init__(
        self, database: Database, directory: Directory, naming: Naming, sender: Sender, settings: Settings
    ) -> None:
        self._database = database
        self._directory = directory
        self._naming = naming
        self._sender = sender
        self.channel = sender.channel
        self._settings = settings
        self._tried: Coalescer[_Tried, None] = Coalescer(self._record_all, lambda _: None, _BATCH)
        self._woken = asyncio.Event()
        self.lease = timedelta(seconds=settings.delivery_lease_seconds)
        self._handed_over: deque[tuple[Due, float]] = deque()  # and until when a try may begin
        self._is_running = self._is_draining = False
        self._look_at = 0.0  # when what others may have left is looked for
        database.listen(DUE, lambda _: self._look_now())

    def drain(self) -> None:
        """Begins no try more: `run` returns as soon as those that it has begun are recorded."""
        self._is_draining = True
        self._woken.set()

    async def run(self) -> None:
        """Runs until drained or cancelled; a fault of the database is logged and tried again."""
        self._is_running = True
        try:
            while not self._is_draining:
                if await self._or_log(self._deliver_some()) < _BATCH and not self._is_draining:
                    await self._rest()
        finally:
            self._is_running = False
        await self._or_log(self._give_back())

    async def _or_log(self, work: Awaitable[int]) -> int:
        try:
            return await work
        except (DatabaseError, OSError) as fault:
            telemetry.BACKGROUND_FAILURES.labels("deliveries").inc()
            _log.warning("deliveries try again", cause=type(fault).__name__)
            return 0

    async def _give_back(self) -> int:
        """Has others try at once what was claimed here and is not begun; how many there were."""
        claimed = [due for due, _ in self._handed_over]
        self._handed_over.clear()
        if claimed:
            async with self._database.transaction() as tx:
                store.give_back(tx, claimed)
        return len(claimed)

    async def _rest(self) -> None:
        """Until something is at hand that this process wrote, or might be due that another did; and a moment longer,
        for what comes within it leaves with it."""
        await tasks.woken(self._woken, self._settings.delivery_poll_seconds)
        await asyncio.sleep(self._settings.delivery_gather_seconds)
        self._woken.clear()

    def _look_now(self) -> None:
        self._look_at = 0.0
        self._woken.set()

    async def look(self) -> None:
        """Sets the gauges to what is still to be delivered."""
        async with self._database.reading() as tx:
            found = await store.waiting(tx, self.channel)
        WAITING.labels(self.channel).set(found.deliveries)
        OLDEST_SECONDS.labels(self.channel).set(found.oldest_seconds)

    @property
    def room(self) -> int:
        """How many more deliveries may be handed over; none while this does not run."""
        return max(_MOST_HANDED_OVER - len(self._handed_over), 0) if self._is_running else 0

    def take(self, claimed: Sequence[Due]) -> None:
        """Has deliveries tried that were claimed as they were written: with the next batch."""
        until = time.monotonic() + self._settings.delivery_lease_seconds - self._settings.delivery_try_seconds
        self._handed_over += [(due, until) for due in claimed]
        self._woken.set()

    async def _deliver_some(self) -> int:
        """Tries a batch of what was handed over, and now and then of what is due; how many there were."""
        claimed: Sequence[Due] = ()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._settings.delivery_poll_seconds
            most = _BATCH // 2 if self._handed_over else _BATCH
            claimed = await self._claim(most)
            if len(claimed) == most:
                self._look_at = 0.0
        if self._is_draining:
            self.take(claimed)
            return 0
        return await self._deliver_all([*claimed, *self._handed_over_in_time(_BATCH - len(claimed))])

    def _handed_over_in_time(self, most: int) -> Iterator[Due]:
        """What another might claim before its try has ended is left to the lease."""
        for _ in range(min(most, len(self._handed_over))):
            due, until = self._handed_over.popleft()
            if time.monotonic() < until:
                yield due

    async def _claim(self, most: int) -> Sequence[Due]:
        async with self._database.transaction() as tx:
            return await store.claim_due(tx, self.channel, most, self.lease)

    async def _deliver_all(self, due: Sequence[Due]) -> int:
        """Returns, or raises, when all tries have ended: one whose record fails leaves the others nobody's."""
        tried = await asyncio.gather(*map(self._deliver, due), return_exceptions=True)
        for fault in filter(None, tried):
            raise fault
        return len(due)

    async def _deliver(self, due: Due) -> None:
        with context.within(CallContext("delivery", str(due.id))), context.about(booking_id=due.booking_id):
            result = await self._result(due)
            await self._record(due, outcome_of(result, due.tries, self._settings.delivery_max_tries))

    async def _result(self, due: Due) -> Result:
        try:
            async with asyncio.timeout(self._settings.delivery_try_seconds):
                return await self._send(due)
        except (aio.AioRpcError, OSError, TimeoutError, DatabaseError) as fault:
            return TryAgain(type(fault).__name__)
        except Exception as fault:  # noqa: BLE001  # one that cannot be written must not hold up the others
            _log.error("delivery failed", delivery_id=str(due.id), exc_info=fault)
            return TryAgain(type(fault).__name__)

    async def _send(self, due: Due) -> Result:
        person = await self._directory.person(due.user_id)
        if person is None:  # nor are there facts any more of who was erased
            return Suppressed("nobody to write to")
        if await self._is_out_of_date(due):
            return Suppressed("out of date")
        if not goes_by(due.type, self.channel) or not (self.channel in person.wishes or due.type in MUST_BE_TOLD):
            return Suppressed("not wanted")
        words, names = await self._naming.complete(due)
        if self.channel is Channel.EMAIL and not person.is_verified:
            words, names = self._naming.to_anybody(due, names)
        if due.type in WITH_A_LINK:
            link = await self._link(due)
            if link is None:
                return Suppressed("out of date")
            words = replace(words, link=link)
        composed = self._sender.compose(due, words, names, person)
        kill_points.reach(Moment.BEFORE_CALL)
        result = await self._sender.send(composed, person)
        kill_points.reach(Moment.AFTER_CALL)
        return result

    async def _link(self, due: Due) -> str | None:
        """What the person is to open, with a token that is good once; None when what it is for is over."""
        if due.type is Type.PASSWORD_RESET:
            page = self._settings.password_reset_page
            token = await self._directory.reset_token(UUID(due.facts["reset_id"]))
        else:
            page = self._settings.email_verification_page
            token = await self._directory.verification_token(UUID(due.facts["verification_id"]))
        return f"{page}#token={token}" if token else None

    async def _is_out_of_date(self, due: Due) -> bool:
        if not is_news(datetime.now(UTC) - due.created_at, self.channel):
            return True
        if due.type is not Type.BOOKING_REMINDER:
            return False
        async with self._database.reading() as tx:
            return await is_out_of_date(tx, due.type, due.booking_id, due.facts)

    async def _record(self, due: Due, outcome: Outcome) -> None:
        await self._tried.do((due, outcome))
        DELIVERIES.labels(due.channel, outcome.status.value).inc()
        report = _log.error if outcome.status is Status.FAILED else _log.info
        report("delivery", delivery_id=str(due.id), outcome=outcome.status, reason=outcome.reason, tries=due.tries)

    async def _record_all(self, tried: Sequence[_Tried]) -> Sequence[None]:
        with context.within(CallContext("delivery", str(tried[0][0].id))):
            async with self._database.transaction() as tx:
                for due, outcome in tried:
                    store.record(tx, due, outcome, self._pause_after(due, outcome))
        return [None] * len(tried)

    def _pause_after(self, due: Due, outcome: Outcome) -> timedelta:
        longest = pause_after(due.tries, self._settings.delivery_first_pause_seconds)
        pause = random.uniform(longest / 2, longest)  # noqa: S311  # spreads tries, guards nothing
        return timedelta(seconds=max(pause, outcome.after_seconds))


async def end_old(database: Database) -> None:
    """Ends what is no news any more by the channels where that counts, also by those that have no sender here."""
    async with database.transaction() as tx:
        store.end_old(tx, [channel for channel in Channel if not is_news(NEWS_FOR, channel)], NEWS_FOR)
