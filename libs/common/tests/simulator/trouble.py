"""What nobody asked for: the broker forgets, time goes by, and people, providers and messages come again."""

from uuid import UUID

from libs.common.tests.simulator.sagas import LOCAL_STEPS
from libs.common.tests.simulator.services import Booking, Payment
from libs.common.tests.simulator.stage import Stage
from petpro.saga.v1 import saga_pb2
from petpro_common.messaging.subjects import REPLIES, reply_subject


def _forget(stage: Stage) -> None:
    stage.server.forget()


def _lose(stage: Stage) -> None:
    stage.server.lose()


def _delete(stage: Stage) -> None:
    stage.server.delete()


def _drop(stage: Stage) -> None:
    stage.server.drop()


def _backup(stage: Stage) -> None:
    stage.server.copy()


def _wait(stage: Stage) -> None:
    stage.clock.seconds += stage.dice.expovariate(1 / 10)


def _again(stage: Stage) -> None:
    """A customer asks for the same saga again."""
    wanted = stage.dice.choice(stage.wanted)
    booking = stage.up.get("booking")
    if isinstance(booking, Booking):
        stage.begin("booking", f"starts {wanted.key} again", booking.start(wanted.saga_type, wanted.key, wanted.data))


def _contradict(stage: Stage) -> None:
    payment = stage.up.get("payment")
    made = [decision for decision in stage.tables["payment"].decisions.values() if decision.is_made]
    if made and isinstance(payment, Payment):
        stage.begin("payment", "contradicts itself", payment.contradict(stage.dice.choice(made)))


def _stray(stage: Stage) -> None:
    """A reply to an attempt that was never made. (One to a step of booking itself would be set aside.)"""
    running = [row for row in stage.tables["booking"].sagas.values() if row.due_at and row.step not in LOCAL_STEPS]
    if not running or REPLIES not in stage.server.streams:
        return
    row = stage.dice.choice(running)
    reply = saga_pb2.Reply(
        command_id="stray",
        saga_id=str(row.id),
        step=row.step,
        direction=saga_pb2.DIRECTION_FORWARD if row.direction == "forward" else saga_pb2.DIRECTION_BACKWARD,
        attempt=stage.dice.choice([0, row.attempt + 50]),
        outcome=stage.dice.choice([saga_pb2.OUTCOME_SUCCEEDED, saga_pb2.OUTCOME_REFUSED]),
        reason="STRAY",
    )
    headers = {"Nats-Msg-Id": str(UUID(int=stage.dice.getrandbits(128)))}
    stage.server.take(reply_subject(row.saga_type), reply.SerializeToString(), headers)


_TROUBLES = (_forget, _lose, _delete, _backup, _wait, _stray, _contradict, _again, _drop)


def make_trouble(stage: Stage) -> None:
    """Lets one of them happen, as the dice have it."""
    trouble = stage.dice.choice(_TROUBLES)
    stage.note(trouble.__name__.removeprefix("_"))
    trouble(stage)
