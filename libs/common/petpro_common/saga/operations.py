"""What an operator may ask of a saga, and why it may be refused.

| verb | is for | refused |
|---|---|---|
| retry | asking the current step again now; a parked saga goes on | once it has ended |
| skip | a step of another service that a person has seen to | see below, and once it has ended |
| compensate | turning back before the point of no return | see below, on the way back, and once ended |
| resolve | ending a parked saga by a person's word | unless parked, and where the word cannot be true |

A step is never skipped when it is the pivot (what follows rests on it), when it is local (it commits with the saga, so
nobody can have done it elsewhere), or when its result is needed later. A saga never turns back at the pivot or past it,
nor at a step with which the pivot went along: it may be done.

    NotFound
    └── SagaNotFound             SAGA_NOT_FOUND            raised by the engine
    WrongState
    ├── SagaHasEnded             SAGA_HAS_ENDED
    ├── SagaNotParked            SAGA_NOT_PARKED
    ├── SagaVersionConflict      SAGA_VERSION_CONFLICT     raised by the engine
    ├── PastPointOfNoReturn      SAGA_PAST_POINT_OF_NO_RETURN
    ├── SagaHasTurnedBack        SAGA_HAS_TURNED_BACK
    └── StepNotSkippable         SAGA_STEP_NOT_SKIPPABLE
        ├── PivotNotSkippable
        ├── LocalStepNotSkippable
        └── ResultIsNeeded
"""

from dataclasses import dataclass
from enum import StrEnum

from petpro_common.errors import NotFound, WrongState


class Verb(StrEnum):
    """What is asked. Both kinds of `resolve` name the end."""

    RETRY = "retry"
    SKIP = "skip"
    COMPENSATE = "compensate"
    RESOLVE_COMPLETED = "resolve_completed"
    RESOLVE_COMPENSATED = "resolve_compensated"


@dataclass(frozen=True)
class Operation:
    """One act: what, by whom (a user's id), and why, in a person's words."""

    verb: Verb
    operator: str
    reason: str


class SagaNotFound(NotFound):
    """No such saga."""

    reason = "SAGA_NOT_FOUND"


class SagaHasEnded(WrongState):
    """The saga has ended; nothing can be asked of it any more."""

    reason = "SAGA_HAS_ENDED"


class SagaNotParked(WrongState):
    """Only a parked saga is ended by a person's word; this one still goes on by itself."""

    reason = "SAGA_NOT_PARKED"


class SagaVersionConflict(WrongState):
    """The saga has moved on since it was looked at; look again."""

    reason = "SAGA_VERSION_CONFLICT"


class PastPointOfNoReturn(WrongState):
    """The point of no return was asked for, alone or along with another step, or passed: nothing may be compensated."""

    reason = "SAGA_PAST_POINT_OF_NO_RETURN"


class SagaHasTurnedBack(WrongState):
    """The saga compensates already: it can be retried, and it can no more be completed."""

    reason = "SAGA_HAS_TURNED_BACK"


class StepNotSkippable(WrongState):
    """This step cannot be taken as done."""

    reason = "SAGA_STEP_NOT_SKIPPABLE"


class PivotNotSkippable(StepNotSkippable):
    """This step is the point of no return; what follows would rest on something that never happened."""


class LocalStepNotSkippable(StepNotSkippable):
    """This step commits together with the saga; nobody can have done it elsewhere."""


class ResultIsNeeded(StepNotSkippable):
    """Later steps need the result of this one, which only its participant can give."""
