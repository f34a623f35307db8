"""A command that goes ahead: taken on while the one before it is pending, and answered with it where that can be.

The refund saga with one step more: settle (payment) goes ahead with send, past cancel (local).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.tests.saga.refund_desk import ALL, PATIENT, PIVOT, REFUND, RETRIABLE, Desk, open_desk
from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.messaging import participant, replies
from petpro_common.messaging.participant import Pending, Refused, Succeeded, answer
from petpro_common.saga import Local, Remote, Step, StepKind
from petpro_common.saga.model import BadSaga
from petpro_common.testing.running import MakeBroker, MakeDatabase

SETTLE = Remote("payment", lambda data: payment.SettleRefundEntry(refund_id=data["dog"]))
SETTLED = Step("settle", RETRIABLE, SETTLE, ahead=True, patience=PATIENT, horizon=timedelta(days=30))
SETTLED_REFUND = replace(REFUND, steps=(*REFUND.steps, SETTLED))
EACH = [*ALL, "SettleRefundEntry"]
SENT = Succeeded(payment.RefundSubmitted(refund_status="succeeded"))
COMMAND, REPLY = "petpro.commands.payment.reserve_refund", "petpro.replies.refund"


@pytest.fixture
async def desk(database_of: MakeDatabase, broker_of: MakeBroker) -> AsyncIterator[Desk]:
    async with open_desk(database_of, broker_of, SETTLED_REFUND) as opened:
        opened.answers |= {"SubmitRefund": Pending(), "SettleRefundEntry": Pending()}
        yield opened


async def taken_on(desk: Desk) -> Any:
    saga_id = await desk.start()
    await desk.until_asked(EACH)
    return saga_id


async def give(desk: Desk, **answers: Succeeded | Refused) -> None:
    """Payment knows the answers to these types of commands, in one transaction."""
    async with desk.paying.transaction() as tx:
        for name, given in answers.items():
            answer(tx, desk.command_ids[name], given)


async def ask_again(desk: Desk) -> None:
    await desk.rows(desk.booking, "UPDATE sagas SET due_at = clock_timestamp()")


async def steps_done(desk: Desk) -> list[str]:
    lines = await desk.rows(desk.booking, "SELECT step FROM saga_timeline WHERE kind = 'succeeded' ORDER BY id")
    return [line.step for line in lines]


@pytest.mark.parametrize("turn", [["SubmitRefund", "SettleRefundEntry"], ["SettleRefundEntry", "SubmitRefund"]])
async def test_answered_in_one_transaction_one_message_asks_and_one_tells(desk: Desk, turn: list[str]) -> None:
    saga_id = await taken_on(desk)
    outcomes = {"SubmitRefund": SENT, "SettleRefundEntry": Succeeded()}
    await give(desk, **{name: outcomes[name] for name in turn})
    await desk.until(saga_id, status="completed")
    assert (await desk.sent(desk.booking), await desk.sent(desk.paying)) == ([COMMAND], [REPLY])
    assert await steps_done(desk) == ["ask", "reserve", "enter", "send", "cancel", "settle"]


async def test_until_it_is_answered_the_saga_waits_at_its_step_and_does_not_ask(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    await give(desk, SubmitRefund=SENT)
    waiting = await desk.until(saga_id, step="settle")
    assert (waiting.status, waiting.attempt) == ("running", 1)
    assert await desk.sent(desk.booking) == [COMMAND]
    await give(desk, SettleRefundEntry=Succeeded())
    await desk.until(saga_id, status="completed")
    assert (await desk.sent(desk.booking), await desk.sent(desk.paying)) == ([COMMAND], [REPLY, REPLY])


async def test_answered_first_it_is_told_with_the_one_before(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    await give(desk, SettleRefundEntry=Succeeded())
    await give(desk, SubmitRefund=SENT)
    await desk.until(saga_id, status="completed")
    assert await desk.sent(desk.booking) == [COMMAND]


async def test_the_second_answer_brings_the_saga_to_its_end_without_the_first(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    async with desk.paying.transaction() as tx:
        answer(tx, desk.command_ids["SubmitRefund"], SENT)
        await tx.flush()  # each is told by itself
        answer(tx, desk.command_ids["SettleRefundEntry"], Succeeded())
        await tx.flush()
        await tx.execute(text("DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox)"))
    await desk.until(saga_id, status="completed")
    assert await desk.sent(desk.booking) == [COMMAND]


async def test_behind_a_refused_one_it_is_never_told(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    await give(desk, SubmitRefund=Refused("CLOSED"))
    state = await desk.until(saga_id, status="compensated")
    assert state.data["failure_reason"] == "CLOSED"
    assert await desk.asked() == [*EACH, "CancelRefundEntry", "ReleaseRefund"]


async def test_behind_one_that_succeeds_at_once_it_is_told_that_it_waits(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = SENT
    saga_id = await desk.start()
    await desk.until(saga_id, step="settle")
    assert (await desk.sent(desk.booking), await desk.sent(desk.paying)) == ([COMMAND], [REPLY])
    await give(desk, SettleRefundEntry=Succeeded())
    await desk.until(saga_id, status="completed")


async def test_a_copy_hears_that_both_are_pending_and_the_answer_comes_all_the_same(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    await ask_again(desk)
    await desk.until(saga_id, step="send")
    await ask_again(desk)
    await desk.until(saga_id, attempt=2)
    await give(desk, SubmitRefund=SENT, SettleRefundEntry=Succeeded())
    await desk.until(saga_id, status="completed")
    assert await desk.asked() == EACH


async def test_asked_again_at_its_step_it_is_pending_still_and_done_once(desk: Desk) -> None:
    saga_id = await taken_on(desk)
    await give(desk, SubmitRefund=SENT)
    await desk.until(saga_id, step="settle")
    await ask_again(desk)
    await desk.until(saga_id, attempt=2)
    await give(desk, SettleRefundEntry=Succeeded())
    await desk.until(saga_id, status="completed")
    assert await desk.asked() == EACH


async def test_a_participant_that_knows_of_none_ahead_is_asked_when_the_step_is_reached(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant._Received, "ahead", ())
    monkeypatch.setattr(participant._Received, "goes_on", property(_as_the_release_before))
    saga_id = await desk.start()
    await desk.until_asked(ALL)
    desk.answers["SettleRefundEntry"] = Succeeded()
    await give(desk, SubmitRefund=SENT)
    await desk.until(saga_id, status="completed")
    assert await desk.asked() == EACH
    assert await desk.sent(desk.booking) == [COMMAND, "petpro.commands.payment.settle_refund_entry"]


def _as_the_release_before(received: Any) -> bool:
    has_failed = bool(received.replies) and received.replies[-1].outcome != replies.SUCCEEDED
    return bool(received.left) and not has_failed


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (replace(SETTLED, do=Local("cancel")), "settle goes ahead with no command to the same service"),
        (replace(SETTLED, do=replace(SETTLE, service="notification")), "goes ahead with no command"),
        (replace(SETTLED, along=True), "does not go along"),
    ],
)
def test_what_cannot_go_ahead_is_no_saga(step: Step, fault: str) -> None:
    with pytest.raises(BadSaga, match=fault):
        replace(REFUND, steps=(*REFUND.steps, step))


def test_nothing_goes_ahead_of_what_may_be_undone() -> None:
    with pytest.raises(BadSaga, match="may be undone"):
        replace(REFUND, steps=(*REFUND.steps[:3], Step("decide", PIVOT, Local("cancel")), SETTLED))


def test_what_can_be_refused_does_not_go_ahead() -> None:
    with pytest.raises(BadSaga, match="so it is retriable"):
        replace(REFUND, steps=(*REFUND.steps[:3], replace(SETTLED, kind=StepKind.PIVOT)))
