"""The shell around the pure core: one transaction loads a saga, carries a transition out, and stores it."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from psycopg import Error as DatabaseError

from petpro.saga.v1 import saga_pb2
from petpro_common import telemetry
from petpro_common.db import Database, Row, Transaction
from petpro_common.faults import OwnWords, told
from petpro_common.ids import instant_of, new_id
from petpro_common.messaging import inbox, outbox
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.consumer import Consumer, OutOfPlace, Unprocessable, in_hand
from petpro_common.messaging.participant import Refused, Succeeded
from petpro_common.messaging.subjects import REPLIES, reply_subject
from petpro_common.saga import core, messages, store
from petpro_common.saga import moves as moving
from petpro_common.saga.model import (
    BadSaga,
    Data,
    Direction,
    Happening,
    Local,
    Order,
    Saga,
    SagaState,
    Signal,
    Status,
)
from petpro_common.saga.moves import LocalHandler, Move, local_reply
from petpro_common.saga.operations import Operation, SagaNotFound, SagaVersionConflict
from petpro_common.saga.timer import Timer

_RETRY_SECONDS = 0.5

_log = structlog.get_logger()
_luck = secrets.SystemRandom().random


class UnknownSaga(OwnWords, LookupError):
    """No such definition, in this version, or no handler for one of its local steps."""


@dataclass(frozen=True)
class Start:
    """A saga to be started, in the trace of the call in hand. `data` is plain JSON."""

    saga_type: str
    business_key: str
    data: Data
    place: telemetry.Place = field(default_factory=telemetry.place)


@dataclass(frozen=True)
class Operated:
    """What a signal or an act did, or with `dry_run` would do first: the state after it, and lines of the timeline."""

    state: SagaState
    timeline: tuple[Happening, ...]


class SagaEngine:
    """Runs the sagas of one service: starts each of `sagas`, and finishes what runs on any of `finishing` besides.

    The latter are definitions of an earlier release, or of the next. `local` names the handlers of local steps. Raises
    BadSaga when two definitions pass for one, UnknownSaga when a handler is missing.
    """

    def __init__(
        self,
        database: Database,
        sagas: Sequence[Saga],
        local: Mapping[str, LocalHandler],
        finishing: Sequence[Saga] = (),
    ) -> None:
        self._database = database
        self._started = {saga.type: saga for saga in sagas}
        self._sagas = {(saga.type, saga.version): saga for saga in (*sagas, *finishing)}
        self._local = local
        self.timer = Timer(database, self._signal)
        if len(self._started) < len(sagas) or len(self._sagas) < len(sagas) + len(finishing):
            raise BadSaga("of each type one version is started, and of each version there is one definition")
        needed = {
            action.handler
            for saga in self._sagas.values()
            for step in saga.steps
            for action in (step.do, step.undo)
            if isinstance(action, Local)
        }
        if missing := needed - local.keys():
            raise UnknownSaga(f"no handlers for local steps {sorted(missing)}")

    async def start(self, tx: Transaction, saga_type: str, business_key: str, data: Data) -> UUID | None:
        """Starts a saga within the caller's transaction, and runs its local steps as far as they go.

        `data` is plain JSON. Returns its id, or None when the business key was used before: then nothing happens.
        """
        [saga_id] = await self.start_all(tx, [Start(saga_type, business_key, data)])
        return saga_id

    async def start_all(self, tx: Transaction, starts: Sequence[Start]) -> list[UUID | None]:
        """Starts sagas of different business keys as `start` does, by as many statements as for one; the id of each."""
        unused = dict(await store.claim(tx, {start.business_key for start in starts}))
        moves = [self._begun(start, now) if (now := unused.pop(start.business_key, None)) else None for start in starts]
        await self._carry_out(tx, [move for move in moves if move])
        return [move.state.id if move else None for move in moves]

    def _begun(self, start: Start, now: datetime) -> Move:
        saga = self._started[start.saga_type]
        state = SagaState(new_id(), saga.type, saga.version, start.business_key, start.data)
        return Move(saga, core.begin(saga, state, now), now, place=start.place, is_fresh=True)

    async def answer(self, tx: Transaction, saga_id: UUID, step: str, decided: Succeeded | Refused) -> bool:
        """Gives the definite answer to a local step that is pending. Whether the saga was waiting for it."""
        row = (await store.lock(tx, [saga_id])).get(saga_id)
        if row is None or row.step != step or row.direction != Direction.FORWARD:
            return False
        state = store.state_of(row)
        signal = local_reply(state.step, state.direction, state.attempt, decided)
        return (await self._signal(tx, state, signal, row.now)).state.version > state.version

    async def operate(
        self, tx: Transaction, saga_id: UUID, expected_version: int, operation: Operation, *, dry_run: bool = False
    ) -> Operated:
        """Carries out what an operator asks, with a line in the timeline and one in the audit.

        A dry run changes nothing; it foresees the first transition, and runs no local step. Raises SagaNotFound,
        SagaVersionConflict when the saga is not at `expected_version`, and the refusals of `core.operate`.
        """
        row = (await store.lock(tx, [saga_id])).get(saga_id)
        if row is None:
            raise SagaNotFound
        before = store.state_of(row)
        if before.version != expected_version:
            raise SagaVersionConflict(version=before.version)
        saga = self._definition(before.saga_type, before.definition_version)
        transition = core.operate(saga, before, operation, row.now)
        if dry_run:
            return Operated(transition.state, transition.timeline)
        with telemetry.span(f"saga {row.saga_type} {operation.verb}", row.trace):
            [done] = await self._carry_out(tx, [Move(saga, transition, row.now)])
        store.add_operation(tx, operation, before, done.state)
        await tx.flush()  # the caller may look at it
        return done

    def consumer(self, broker: Broker) -> Consumer:
        """The consumer of replies to this service's sagas."""
        subjects = sorted({reply_subject(saga_type) for saga_type, _ in self._sagas})
        return Consumer(self._database, broker, REPLIES, subjects, self._on_replies, messages.saga_of)

    async def run_timer(self) -> None:
        """Signals sagas whose time has come, until cancelled; a fault is logged and tried again.

        Raises UnknownSaga at the start when sagas are in flight on a definition that it lacks: they could not end.
        """
        while True:
            try:
                await self._require_definitions()
            except (DatabaseError, OSError) as fault:
                _log.warning("definitions are looked at again later", cause=told(fault))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await self.timer.run()

    async def _require_definitions(self) -> None:
        async with self._database.reading() as tx:
            in_flight = await store.in_flight(tx)
        missing = [row for row in in_flight if (row.saga_type, row.definition_version) not in self._sagas]
        if missing:
            counted = ", ".join(f"{row.saga_type} version {row.definition_version} ({row.sagas})" for row in missing)
            raise UnknownSaga(f"sagas are in flight whose definition is missing: {counted}")

    async def _on_replies(self, received: Sequence[Msg]) -> None:
        """Signals sagas, each at most once: of one saga's replies one is in hand at a time."""
        replies = [(message, *messages.read(message)) for message in received]
        async with self._database.transaction() as tx:
            claiming = inbox.claiming(message_id for _, message_id, _, _ in replies)
            rows, claimed = await store.lock_with(tx, (saga_id for _, _, saga_id, _ in replies), claiming)
            if missing := {saga_id for _, _, saga_id, _ in replies} - rows.keys():
                raise Unprocessable(f"no saga {missing.pop()}")
            new, moves = set(claimed.scalars()), []
            for message, message_id, saga_id, reply in replies:
                if message_id in new:
                    row = rows[saga_id]
                    with _in_hand(message, _trace_to_go_on(row, message)):
                        moves.append(self._replied(row, message.subject, reply))
            await self._carry_out(tx, moves)

    def _replied(self, row: Row, subject: str, reply: saga_pb2.Reply) -> Move:
        """Signals what the saga awaits; the other answers that came along are at hand.

        Raises OutOfPlace for what no participant may answer: sagas of another type, steps of this service.
        """
        state = store.state_of(row)
        if subject != reply_subject(state.saga_type):
            raise OutOfPlace("the reply is to a saga of another type than its subject names")
        saga = self._definition(state.saga_type, state.definition_version)
        replies = {(each.step, each.direction): each for each in messages.answers(saga, reply)}
        latest = next(reversed(replies))
        awaited = (state.step, state.direction)
        signal = replies.pop(awaited if awaited in replies else latest)
        return Move(saga, core.advance(saga, state, signal, row.now, _luck()), row.now, replies)

    async def _signal(self, tx: Transaction, state: SagaState, signal: Signal, now: datetime) -> Operated:
        saga = self._definition(state.saga_type, state.definition_version)
        [done] = await self._carry_out(tx, [Move(saga, core.advance(saga, state, signal, now, _luck()), now)])
        return done

    async def _carry_out(self, tx: Transaction, moves: Sequence[Move]) -> list[Operated]:
        """Stores transitions of different sagas and has orders done: here and now, as far as that goes, and then by
        command."""
        await moving.go_on(tx, moves, self._local, _luck)
        for move in moves:
            with move.in_hand():
                if move.order:
                    self._send(tx, move.saga, move.state, move.order)
                self.timer.expect(move.state.due_at, move.now)
                if move.is_fresh:
                    store.add(tx, move.state, move.timeline, telemetry.trace_headers())
                else:
                    store.save(tx, move.state, move.timeline)
                self._report(move.state, move.now)
        return [Operated(move.state, tuple(move.timeline)) for move in moves]

    def _send(self, tx: Transaction, saga: Saga, state: SagaState, order: Order) -> None:
        subject, command = messages.commands(saga, state, order)
        message_id = f"{command.command_id}:{order.attempt}"
        outbox.add_protobuf(tx, message_id, subject, str(state.id), command)

    def _definition(self, saga_type: str, version: int) -> Saga:
        try:
            return self._sagas[saga_type, version]
        except KeyError:
            raise UnknownSaga(f"no definition of {saga_type} version {version}") from None

    def _report(self, state: SagaState, now: datetime) -> None:
        if state.has_ended:
            lasted = (now - instant_of(state.id)).total_seconds()
            telemetry.SAGA_SECONDS.labels(state.saga_type, state.status.value).observe(lasted)
        if state.has_ended or state.status is Status.PARKED:
            telemetry.SAGAS_ENDED.labels(state.saga_type, state.status.value).inc()
            log = _log.error if state.status is Status.PARKED else _log.info
            log("saga ended", saga_id=str(state.id), saga_type=state.saga_type, status=state.status.value)


def _in_hand(message: Msg, trace: Mapping[str, str]) -> AbstractContextManager[None]:
    """Goes on in the saga's trace: where that is recorded, in a span for the reply."""
    return in_hand(message, trace) if telemetry.is_recorded(trace) else telemetry.within_trace(trace)


def _trace_to_go_on(row: Row, message: Msg) -> Mapping[str, str]:
    """That of the reply when it is the saga's own. A webhook or a worker answers in another trace, or in none."""
    headers = message.headers or {}
    return headers if telemetry.trace_id_in(headers) == telemetry.trace_id_in(row.trace) else row.trace
