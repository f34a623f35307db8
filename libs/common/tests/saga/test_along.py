"""Steps whose commands travel together: one message, one transaction of the participant, one answer."""

from collections.abc import AsyncIterator

import pytest

from libs.common.tests.saga.refund_desk import ALL, Desk, open_desk
from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.messaging.participant import Pending, Refused, Succeeded, answer
from petpro_common.testing.running import MakeBroker, MakeDatabase


@pytest.fixture
async def desk(database_of: MakeDatabase, broker_of: MakeBroker) -> AsyncIterator[Desk]:
    async with open_desk(database_of, broker_of) as opened:
        yield opened


async def test_one_message_one_transaction_and_one_answer(desk: Desk) -> None:
    state = await desk.until(await desk.start(), status="completed")
    assert await desk.asked() == ALL
    assert len(await desk.rows(desk.paying, "SELECT DISTINCT xid FROM asked")) == 1
    assert await desk.sent(desk.booking) == ["petpro.commands.payment.reserve_refund"]
    assert await desk.sent(desk.paying) == ["petpro.replies.refund"]
    assert state.data["refund_status"] == "pending"
    lines = await desk.rows(desk.booking, "SELECT kind, step FROM saga_timeline WHERE kind = 'succeeded' ORDER BY id")
    assert [line.step for line in lines] == ["ask", "reserve", "enter", "send", "cancel"]


async def test_behind_a_refused_one_nothing_is_carried_out_and_nothing_stays_claimed(desk: Desk) -> None:
    desk.answers["PostRefundEntry"] = Refused("NO_FEE")
    state = await desk.until(await desk.start(), status="compensated")
    assert await desk.asked() == [*ALL[:2], "ReleaseRefund"]
    claimed = await desk.rows(desk.paying, "SELECT message_id FROM inbox WHERE message_id LIKE '%:send:%'")
    assert (claimed, state.data["failure_reason"]) == ([], "NO_FEE")


async def test_compensations_travel_together_too_in_reverse_order(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Refused("CLOSED")
    await desk.until(await desk.start(), status="compensated")
    assert await desk.asked() == [*ALL, "CancelRefundEntry", "ReleaseRefund"]
    subjects = ["petpro.commands.payment.reserve_refund", "petpro.commands.payment.cancel_refund_entry"]
    assert await desk.sent(desk.booking) == subjects


async def test_what_one_of_them_breaks_none_has_done(desk: Desk) -> None:
    desk.faults["SubmitRefund"] = ZeroDivisionError()
    await desk.until(await desk.start(), status="completed")
    assert await desk.asked() == ALL, "the first try was rolled back as a whole"


async def test_that_the_last_is_pending_is_told_to_a_copy_and_the_definite_answer_tells_all(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Pending()
    saga_id = await desk.start()
    await desk.until_asked(ALL)
    assert (await desk.state(saga_id)).step == "reserve"
    await desk.rows(desk.booking, "UPDATE sagas SET due_at = clock_timestamp()")
    await desk.until(saga_id, step="send")
    assert await desk.asked() == ALL
    async with desk.paying.transaction() as tx:
        sent = Succeeded(payment.RefundSubmitted(refund_status="succeeded"))
        answer(tx, desk.command_ids["SubmitRefund"], sent)
    state = await desk.until(saga_id, status="completed")
    assert state.data["refund_status"] == "succeeded"


async def test_answered_before_anybody_asked_again_it_is_one_reply(desk: Desk) -> None:
    desk.answers["SubmitRefund"] = Pending()
    saga_id = await desk.start()
    await desk.until_asked(ALL)
    async with desk.paying.transaction() as tx:
        answer(tx, desk.command_ids["SubmitRefund"], Refused("CLOSED"))
    await desk.until(saga_id, status="compensated")
    told = await desk.rows(desk.booking, "SELECT kind, step FROM saga_timeline WHERE kind IN ('refused', 'ignored')")
    assert {(line.kind, line.step) for line in told} == {("refused", "send")}
