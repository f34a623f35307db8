"""What must be true when a schedule has come to rest. Each function gives what is wrong, in words."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from libs.common.tests.simulator.sagas import BACKWARD, BY_TYPE, FORWARD
from libs.common.tests.simulator.server import Server
from libs.common.tests.simulator.tables import Tables
from petpro.saga.v1 import saga_pb2
from petpro_common.saga.model import Remote, Saga, Status, Step, StepKind

_SAID = {saga_pb2.OUTCOME_SUCCEEDED: "succeeded", saga_pb2.OUTCOME_REFUSED: "refused"}


def violations(booking: Tables, payment: Tables, server: Server) -> list[str]:
    """Everything that is wrong; nothing else runs any more, and all faults are over."""
    effects = [effect for _, effect in sorted({**booking.effects, **payment.effects}.items())]
    found = list(_messages(booking, payment, server))
    known = {row.business_key for row in booking.sagas.values()}
    found += [f"{key}: {step} was done for a saga that is not there" for _, key, step, _ in effects if key not in known]
    for row in booking.sagas.values():
        done = [(step, direction) for _, key, step, direction in effects if key == row.business_key]
        lines = [line for _, line in sorted(booking.timeline.items()) if line.saga_id == row.id]
        problems = [*_ending(row, lines), *_effects(row, done), *_counted(row, lines, payment)]
        found += [f"{row.business_key} ({row.status}): {problem}" for problem in problems]
    return found


def _ending(row: Any, lines: list[Any]) -> Iterator[str]:
    """Every saga has ended, or is parked for a reason that it may have."""
    if row.status in (Status.RUNNING, Status.COMPENSATING):
        yield f"stuck in {row.step} {row.direction}"
    for line in lines:
        if line.kind == "parked" and not ("no answer" in line.detail and _may_be_parked(row, line)):
            yield f"parked without need: {line.detail}"
    if row.status in (Status.COMPLETED, Status.COMPENSATED) and ("secret" in row.data or row.due_at):
        yield "ended, but has not let go of everything"


def _may_be_parked(row: Any, line: Any) -> bool:
    """Nobody knows whether a compensation was done, or a pivot that went along."""
    saga = BY_TYPE[row.saga_type]
    along = saga.carried_by(saga.step(line.step), row.data)
    return line.direction == BACKWARD or any(step.kind is StepKind.PIVOT for step in along)


def _effects(row: Any, done: list[tuple[str, str]]) -> Iterator[str]:
    """Steps and compensations are done once, in their order, and fit the way in which the saga ended."""
    saga = BY_TYPE[row.saga_type]
    times = Counter(done)
    in_turn = [(step, direction) for step, direction in done if not saga.step(step).ahead]
    forward = [saga.index(step) for step, direction in in_turn if direction == FORWARD]
    backward = [saga.index(step) for step, direction in done if direction == BACKWARD]
    yield from (f"{step} {direction} was done {n} times" for (step, direction), n in times.items() if n > 1)
    if forward != sorted(forward) or backward != sorted(backward, reverse=True):
        yield f"done in the wrong order: {done}"
    if [direction for _, direction in in_turn] != [FORWARD] * len(forward) + [BACKWARD] * len(backward):
        yield f"gone forward again after turning back: {done}"
    for step in saga.steps:
        if step.ahead and (step.name, FORWARD) in done and not _is_after_its_command(saga, step, done):
            yield f"{step.name} was done before what it waits for: {done}"
    passed = {step for step, direction in done if direction == FORWARD and saga.step(step).kind is not _COMPENSATABLE}
    if passed and (backward or row.status == Status.COMPENSATED):
        yield f"compensated after {sorted(passed)}"
    for step in saga.steps:
        yield from _left(row, step, times)


def _is_after_its_command(saga: Saga, step: Step, done: list[tuple[str, str]]) -> bool:
    before = [each.name for each in saga.steps[: saga.index(step.name)] if isinstance(each.do, Remote)]
    return (before[-1], FORWARD) in done[: done.index((step.name, FORWARD))]


_COMPENSATABLE = StepKind.COMPENSATABLE


def _left(row: Any, step: Any, times: Counter[tuple[str, str]]) -> Iterator[str]:
    """What is left of one step."""
    did, undid = times[step.name, FORWARD], times[step.name, BACKWARD]
    if did and not step.when(row.data):
        yield f"{step.name} was not needed"
    if undid > did:
        yield f"{step.name} was undone and never done"
    if row.status == Status.COMPLETED and step.when(row.data) and did - undid != 1:
        yield f"{step.name} is missing"
    if row.status == Status.COMPENSATED and step.undo and did != undid:
        yield f"{step.name} is left over"


def _counted(row: Any, lines: list[Any], payment: Tables) -> Iterator[str]:
    """A step's answer counts once, only in its own direction, and is what the participant said."""
    counted = [line for line in lines if line.kind in ("succeeded", "refused")]
    yield from (
        f"{step} {direction} was answered {n} times"
        for (step, direction), n in Counter((line.step, line.direction) for line in counted).items()
        if n > 1
    )
    for line in counted:
        step = BY_TYPE[row.saga_type].step(line.step)
        if isinstance(step.do if line.direction == FORWARD else step.undo, Remote):
            said = _said(payment, f"{row.id}:{line.step}:{line.direction}")
            if said != line.kind:
                yield f"{line.step} {line.direction} counted as {line.kind}, payment said {said}"
    refused = {line.step for line in counted if line.kind == "refused" and line.direction == FORWARD}
    for line in lines:
        if line.kind == "sent" and line.direction == BACKWARD and line.step in refused:
            yield f"{line.step} was refused and compensated"


def _said(payment: Tables, command_id: str) -> str:
    row = payment.inbox.get(command_id)
    return _SAID.get(saga_pb2.Reply.FromString(row.reply).outcome, "pending") if row and row.reply else "nothing"


def _messages(booking: Tables, payment: Tables, server: Server) -> Iterator[str]:
    """What was committed is with the broker, nothing was set aside, and a participant says one thing."""
    there = {message.message_id for stream in server.streams.values() for message in stream.messages.values()}
    for tables in (booking, payment):
        yield from (f"set aside: {parked['error']}" for parked in tables.parked.values())
        missing = [row.message_id for row in tables.outbox.values() if row.message_id not in there]
        yield from (f"the broker never got {message_id}" for message_id in missing)
    definite: dict[str, set[str]] = {}
    for row in payment.outbox.values():
        reply = saga_pb2.Reply.FromString(row.payload)
        for each in (*reply.before, reply):
            if said := _SAID.get(each.outcome):
                definite.setdefault(each.command_id, set()).add(said)
    yield from (f"{command_id} was answered both ways" for command_id, said in definite.items() if len(said) > 1)
