"""Sagas that go on together, in one transaction: each as far as answers are at hand.

In each round every saga that has an order at hand is answered, those with the same local step by one call where the
step's handler takes them together. What is left then is an order for another service, a wait, or the end.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from petpro_common import context, telemetry
from petpro_common.db import Transaction
from petpro_common.messaging.participant import Answer, Pending, Refused
from petpro_common.saga import core
from petpro_common.saga.model import Direction, Happening, Local, Order, Outcome, Reply, Saga, SagaState
from petpro_common.together import Together, by_handler

RepliesAtHand: TypeAlias = Mapping[tuple[str, Direction], Reply]
"""By step and direction."""
OneByOne: TypeAlias = Callable[[Transaction, SagaState], Awaitable[Answer]]


AllAtStep: TypeAlias = Together[SagaState, Sequence[Answer]]
"""Takes all sagas that are at a local step: an answer for each. What it does for one it does `on_behalf` of it."""
LocalHandler: TypeAlias = OneByOne | AllAtStep

_places: ContextVar[Mapping[UUID, telemetry.Place]] = ContextVar("petpro_sagas", default=MappingProxyType({}))


@dataclass
class Move:
    """A saga that goes on: the transition it is at, and what has happened since it was loaded."""

    saga: Saga
    transition: core.Transition
    now: datetime
    replies: RepliesAtHand = field(default_factory=dict)
    place: telemetry.Place = field(default_factory=telemetry.place)
    timeline: list[Happening] = field(default_factory=list)
    is_fresh: bool = False
    """Whether this transaction has started it: there is no row yet."""

    def __post_init__(self) -> None:
        self.timeline += self.transition.timeline

    @property
    def state(self) -> SagaState:
        return self.transition.state

    @property
    def order(self) -> Order | None:
        return self.transition.order

    def answered(self, signal: Reply, luck: float) -> None:
        """Goes on by the answer to its order."""
        self.transition = core.advance(self.saga, self.state, signal, self.now, luck)
        self.timeline += self.transition.timeline

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """Makes it the one in hand, for logs and in its trace."""
        with (
            telemetry.back_in(self.place),
            context.about(saga_id=self.state.id, booking_id=self.state.data.get("booking_id")),
        ):
            yield


@contextmanager
def on_behalf(state: SagaState) -> Iterator[None]:
    """Within a handler of all sagas at a step: goes on in the trace of one of its sagas, which logs name."""
    with (
        telemetry.back_in(_places.get()[state.id]),
        context.about(saga_id=state.id, booking_id=state.data.get("booking_id")),
    ):
        yield


async def go_on(
    tx: Transaction, moves: Sequence[Move], local: Mapping[str, LocalHandler], luck: Callable[[], float]
) -> None:
    """Brings each as far as it goes."""
    while moves:
        answers = await _answers_at_hand(tx, moves, local)
        moves = [move for move in moves if move.state.id in answers]
        for move in moves:
            move.answered(answers[move.state.id], luck())


async def _answers_at_hand(
    tx: Transaction, moves: Sequence[Move], local: Mapping[str, LocalHandler]
) -> dict[UUID, Reply]:
    """By saga: the answer to an order that needs no command, a local step's or one that came along with another's."""
    answers: dict[UUID, Reply] = {}
    here: list[tuple[LocalHandler, tuple[Move, Order]]] = []
    for move in moves:
        if move.order and isinstance(move.order.action, Local):
            here.append((local[move.order.action.handler], (move, move.order)))
        elif move.order and (reply := move.replies.get((move.order.step.name, move.order.direction))):
            answers[move.state.id] = reply
    for handler, (move, order) in here:
        if not isinstance(handler, Together):
            with move.in_hand():
                answers[move.state.id] = _reply_to(order, await handler(tx, move.state))
    for together, at_it in by_handler(here).items():
        decided = await _decided(tx, together, [move for move, _ in at_it])
        for (move, order), answer in zip(at_it, decided, strict=True):
            answers[move.state.id] = _reply_to(order, answer)
    return answers


async def _decided(tx: Transaction, handler: AllAtStep, moves: Sequence[Move]) -> Sequence[Answer]:
    token = _places.set({move.state.id: move.place for move in moves})
    try:
        return await handler.handle(tx, [move.state for move in moves])
    finally:
        _places.reset(token)


def _reply_to(order: Order, decided: Answer) -> Reply:
    return local_reply(order.step.name, order.direction, order.attempt, decided)


def local_reply(step: str, direction: Direction, attempt: int, decided: Answer) -> Reply:
    """A local step's answer as a signal."""
    if isinstance(decided, Pending):
        return Reply(step, direction, attempt, Outcome.PENDING)
    if isinstance(decided, Refused):
        return Reply(step, direction, attempt, Outcome.REFUSED, decided.reason)
    return Reply(step, direction, attempt, Outcome.SUCCEEDED, learned=decided.learned)
