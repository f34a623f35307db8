"""Sagas: a change over several services that ends whole or is undone.

A saga is data (`model`): an ordered tuple of typed steps. What happens next is decided by a pure function (`core`):

    advance(definition, state, signal, now, luck) -> state, an order or none, timeline

which knows no I/O and answers every signal, also late, doubled and foreign ones. A thin shell (`engine`) loads the
state under a row lock, asks the core, runs local steps in the same transaction, writes commands to the outbox, and
stores the new state; all of it commits together.

    steps      C  C  C  P  R  R          C compensatable, P pivot, R retriable; P at most once
    running    -> -> -> -> -> -> completed
                     |  |
                  refused / unknown      before or at the pivot
    compensating  <- <-                  in reverse order -> compensated
    parked                               an operator has to look: retries ran out, or a retriable step was refused

A step that goes `along` shares the message, the participant's transaction and the reply with the step before. One that
goes `ahead` shares the message with the latest command before it, and where it can be the reply.

What an operator may do to a saga, and when, stands at the top of `operations`; `core.operate` decides it.

Invariants:

1. Once the pivot has succeeded nothing is compensated; before that nothing is final.
2. A step that was refused changed nothing and is not compensated; one whose outcome is unknown is compensated or, at
   the pivot and after, asked again until it is known.
3. A reply counts only for the step, the direction and an attempt that was really made, and once.
4. A saga is started once per business key, and ends on the definition version it began with.
"""

from petpro_common.saga.core import advance, begin
from petpro_common.saga.engine import SagaEngine
from petpro_common.saga.model import Local, Remote, Saga, SagaState, Step, StepKind

__all__ = ["Local", "Remote", "Saga", "SagaEngine", "SagaState", "Step", "StepKind", "advance", "begin"]
