"""Commands and replies of sagas, to and from protobuf."""

from uuid import UUID

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from petpro.saga.v1 import saga_pb2
from petpro_common.messaging.consumer import OutOfPlace, UnknownKind, Unprocessable
from petpro_common.messaging.subjects import ID_HEADER, command_subject, reply_subject
from petpro_common.saga import core
from petpro_common.saga.model import Data, Direction, Local, Order, Outcome, Remote, Reply, Saga, SagaState, Step

_DIRECTIONS = {Direction.FORWARD: saga_pb2.DIRECTION_FORWARD, Direction.BACKWARD: saga_pb2.DIRECTION_BACKWARD}
_DIRECTION_OF = {number: direction for direction, number in _DIRECTIONS.items()}
_OUTCOMES = {
    saga_pb2.OUTCOME_SUCCEEDED: Outcome.SUCCEEDED,
    saga_pb2.OUTCOME_REFUSED: Outcome.REFUSED,
    saga_pb2.OUTCOME_PENDING: Outcome.PENDING,
}


def commands(saga: Saga, state: SagaState, order: Order) -> tuple[str, saga_pb2.Command]:
    """The subject and the command of an order, with those of the steps that go along."""
    subject, command = _command(saga, state, order.step, order.attempt)
    command.next.extend(_command(saga, state, step, attempt=1)[1] for step in core.aboard(saga, state))
    return subject, command


def _command(saga: Saga, state: SagaState, step: Step, attempt: int) -> tuple[str, saga_pb2.Command]:
    action = step.do if state.direction is Direction.FORWARD else step.undo
    if not isinstance(action, Remote):
        raise TypeError(action)
    message, saga_id = action.build(state.data), str(state.id)
    command = saga_pb2.Command(
        command_id=f"{saga_id}:{step.name}:{state.direction.value}",
        saga_id=saga_id,
        saga_type=saga.type,
        step=step.name,
        direction=_DIRECTIONS[state.direction],
        attempt=attempt,
        reply_to=reply_subject(saga.type),
        ahead=step.ahead and state.step != step.name,
    )
    command.payload.Pack(message)
    return command_subject(action.service, message), command


def read(message: Msg) -> tuple[str, UUID, saga_pb2.Reply]:
    """A reply with the id of its message and of its saga.

    Raises Unprocessable for what is none, and UnknownKind for an outcome that a newer participant may give.
    """
    try:
        reply = saga_pb2.Reply.FromString(message.data)
        saga_id = UUID(reply.saga_id)
        for each in (*reply.before, reply):
            _outcome_of(each), _direction_of(each)
    except (DecodeError, ValueError) as fault:
        raise Unprocessable("not a reply to a saga") from fault
    except KeyError as fault:
        raise UnknownKind("no such outcome or direction") from fault
    message_id = (message.headers or {}).get(ID_HEADER)
    return message_id or f"{reply.command_id}.{reply.attempt}.{_outcome_of(reply)}", saga_id, reply


def saga_of(message: Msg) -> str:
    """The saga that a reply is for; empty when it is none."""
    try:
        return saga_pb2.Reply.FromString(message.data).saga_id
    except DecodeError:
        return ""


def answers(saga: Saga, reply: saga_pb2.Reply) -> list[Reply]:
    """The answers in a reply, in the order of their steps, with what the definition learns of their results.

    Raises OutOfPlace for an answer to a local step, which is for the saga's own service to give (`SagaEngine.answer`).
    """
    if any(_is_local(saga, each) for each in (*reply.before, reply)):
        raise OutOfPlace("a participant answers a step that was never its own")
    return [
        Reply(
            each.step,
            _direction_of(each),
            each.attempt,
            _outcome_of(each),
            each.reason,
            _learned(saga, each),
        )
        for each in (*reply.before, reply)
    ]


def _is_local(saga: Saga, reply: saga_pb2.Reply) -> bool:
    try:
        step = saga.step(reply.step)
    except KeyError:
        return False  # nobody awaits it
    return isinstance(step.do if _direction_of(reply) is Direction.FORWARD else step.undo, Local)


def _learned(saga: Saga, reply: saga_pb2.Reply) -> Data:
    if _direction_of(reply) is Direction.BACKWARD or not reply.HasField("payload"):
        return {}
    try:
        action = saga.step(reply.step).do
    except KeyError:
        return {}
    return action.learned_from(reply.payload.value) if isinstance(action, Remote) else {}


def _outcome_of(reply: saga_pb2.Reply) -> Outcome:
    return _OUTCOMES[reply.outcome]


def _direction_of(reply: saga_pb2.Reply) -> Direction:
    return _DIRECTION_OF[reply.direction]
