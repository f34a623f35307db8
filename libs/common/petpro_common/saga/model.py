"""What a saga is: steps with kinds, and the rules an order of steps must keep."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from google.protobuf.message import Message

Data: TypeAlias = Mapping[str, Any]
_NO_DATA: Data = MappingProxyType({})

# Types, steps and services become parts of subjects and of command ids.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class StepKind(StrEnum):
    """What may happen to a step."""

    COMPENSATABLE = "compensatable"  # can be refused, and undone afterwards
    PIVOT = "pivot"  # can be refused; once done, the saga goes through
    RETRIABLE = "retriable"  # cannot be refused; tried until it is done


class Direction(StrEnum):
    """Which way a saga goes: FORWARD runs steps, BACKWARD their compensations."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Status(StrEnum):
    """Where a saga stands. The last two are its ends; PARKED waits for an operator."""

    RUNNING = "running"
    COMPENSATING = "compensating"
    PARKED = "parked"
    COMPLETED = "completed"
    COMPENSATED = "compensated"


class Outcome(StrEnum):
    """What a participant answers."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    PENDING = "pending"


def _always(_: Data) -> bool:
    return True


def _nothing(_: Message) -> Data:
    return {}


@dataclass(frozen=True)
class Local:
    """Work of the saga's own service: the name of a handler that runs in the transaction of the transition."""

    handler: str


@dataclass(frozen=True)
class Remote:
    """Work of another service: a command built from the saga's data.

    When later steps need something of the result, `result` is its type and `learn` takes it out as plain JSON; both or
    neither.
    """

    service: str
    build: Callable[[Data], Message]
    result: type[Message] | None = None
    learn: Callable[[Any], Data] = _nothing

    def learned_from(self, payload: bytes) -> Data:
        """What the saga's data gains from a result."""
        return self.learn(self.result.FromString(payload)) if self.result else {}


Action: TypeAlias = Local | Remote


@dataclass(frozen=True)
class Step:
    """One step. `when` says whether it is needed at all.

    The command of a step that goes `along` travels with that of the step before, and so do their compensations: one
    message, one transaction of the participant, one answer. Until that comes the outcome of all of them is unknown.

    A step that goes `ahead` asks to be told what the latest command before it brings about, past local steps. It
    travels with that one, waits there while it is pending, and is answered along with it if it can be.

    An unanswered step is asked again after `patience` (doubling, with jitter, up to a minute); after `horizon` its
    outcome counts as unknown: before the pivot it is compensated, at the pivot and after the saga is parked.
    """

    name: str
    kind: StepKind
    do: Action
    undo: Action | None = None
    when: Callable[[Data], bool] = _always
    along: bool = False
    ahead: bool = False
    patience: timedelta = timedelta(seconds=5)
    horizon: timedelta = timedelta(hours=24)


class BadSaga(ValueError):
    """The definition could not be rolled back, asked again or told apart; the message names every fault."""


@dataclass(frozen=True)
class Saga:
    """A definition. Steps are compensatable ones, then at most one pivot, then retriable ones.

    `forgets` names what is dropped from the data when the saga ends: secrets, and what people wrote.

    Raises BadSaga when the order breaks that, or a step could not do what it says.
    """

    type: str
    version: int
    steps: tuple[Step, ...]
    forgets: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        faults = [*_faults_of_order(self), *_faults_of_company(self)]
        faults += (fault for step in self.steps for fault in _faults_of_step(step))
        if faults:
            raise BadSaga(f"{self.type}: {'; '.join(faults)}")

    def step(self, name: str) -> Step:
        """The step of that name. Raises KeyError."""
        return self.steps[self.index(name)]

    def index(self, name: str) -> int:
        """The place of the step of that name. Raises KeyError."""
        for index, step in enumerate(self.steps):
            if step.name == name:
                return index
        raise KeyError(name)

    def carried_by(self, step: Step, data: Data) -> tuple[Step, ...]:
        """The steps whose commands travel with that of `step`, in their order."""
        if isinstance(step.do, Local):
            return ()
        behind = self.steps[self.index(step.name) + 1 :]
        along = tuple(takewhile(lambda each: each.along, behind))
        ahead = takewhile(lambda each: each.ahead or isinstance(each.do, Local), behind[len(along) :])
        return tuple(each for each in (*along, *(each for each in ahead if each.ahead)) if each.when(data))


def _faults_of_order(saga: Saga) -> Iterator[str]:
    ranks = [list(StepKind).index(step.kind) for step in saga.steps]
    if not _NAME.fullmatch(saga.type):
        yield "a type is lower case letters, digits and underscores"
    if saga.version < 1:
        yield "versions count from 1"
    if not saga.steps:
        yield "a saga has at least one step"
    if ranks != sorted(ranks):
        yield "compensatable steps come first, then the pivot, then retriable ones"
    if [step.kind for step in saga.steps].count(StepKind.PIVOT) > 1:
        yield "there is one pivot at the most"
    if len({step.name for step in saga.steps}) != len(saga.steps):
        yield "step names must differ"


def _faults_of_company(saga: Saga) -> Iterator[str]:
    for before, step in zip((None, *saga.steps), saga.steps, strict=False):
        carrier = before.do if before else None
        if step.along and not _is_carried(step.do, carrier):
            yield f"{step.name} goes along with no command to the same service"
        elif step.along and isinstance(carrier, Remote) and carrier.result:
            yield f"{step.name} goes along with a command, and may need its result"
    for index, step in enumerate(saga.steps):
        latest = next((each for each in reversed(saga.steps[:index]) if isinstance(each.do, Remote)), None)
        if step.ahead and not _is_carried(step.do, latest.do if latest else None):
            yield f"{step.name} goes ahead with no command to the same service"
        elif step.ahead and latest and latest.kind is StepKind.COMPENSATABLE:
            yield f"{step.name} goes ahead with a command that may be undone"
        if step.ahead and (step.along or step.kind is not StepKind.RETRIABLE):
            yield f"{step.name} goes ahead, so it is retriable, and does not go along"


def _is_carried(action: Action, carrier: Action | None) -> bool:
    return isinstance(action, Remote) and isinstance(carrier, Remote) and action.service == carrier.service


def _faults_of_step(step: Step) -> Iterator[str]:
    if not _NAME.fullmatch(step.name):
        yield f"{step.name!r} is not lower case letters, digits and underscores"
    if step.undo and step.kind is not StepKind.COMPENSATABLE:
        yield f"{step.name} is {step.kind} and can never be compensated"
    if step.undo == step.do:
        yield f"{step.name} would be undone by being done again"
    if not timedelta(0) < step.patience < step.horizon:
        yield f"{step.name} needs a patience above zero, and a longer horizon, to be asked again"
    for action in (step.do, step.undo):
        if isinstance(action, Remote):
            yield from _faults_of_remote(step, action)


def _faults_of_remote(step: Step, action: Remote) -> Iterator[str]:
    if not _NAME.fullmatch(action.service):
        yield f"{step.name} asks {action.service!r}, which is no service's name"
    if (action.result is None) != (action.learn is _nothing):
        yield f"{step.name} learns nothing: a result and what to learn of it come together"
    if action is step.undo and action.result:
        yield f"{step.name} learns from its compensation, which nobody reads"


class SagaState(NamedTuple):
    """Where one saga stands. `version` counts transitions; `due_at` is when it is looked at again without a signal.

    Each transition makes a few, as it does of what follows: a frozen dataclass took a quarter of what deciding takes.
    """

    id: UUID
    saga_type: str
    definition_version: int
    business_key: str
    data: Data
    status: Status = Status.RUNNING
    step: str = ""
    direction: Direction = Direction.FORWARD
    attempt: int = 0
    to_undo: tuple[str, ...] = ()
    step_began_at: datetime | None = None
    due_at: datetime | None = None
    version: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in (Status.COMPLETED, Status.COMPENSATED)


class Reply(NamedTuple):
    """A participant's answer to one attempt of one step in one direction."""

    step: str
    direction: Direction
    attempt: int
    outcome: Outcome
    reason: str = ""
    learned: Data = _NO_DATA


class Timeout(NamedTuple):
    """The time of one attempt ran out."""

    step: str
    direction: Direction
    attempt: int


Signal: TypeAlias = Reply | Timeout


class Order(NamedTuple):
    """What the shell has to have done now."""

    step: Step
    direction: Direction
    attempt: int
    action: Action


class Happening(NamedTuple):
    """One line of a saga's timeline."""

    kind: str
    step: str = ""
    direction: Direction = Direction.FORWARD
    attempt: int = 0
    detail: str = ""
