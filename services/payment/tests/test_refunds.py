"""Refunds: reserved, submitted, settled, released; in any order, and never more than was taken."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.ids import new_id
from petpro_common.money import Money
from petpro_common.testing import eventually, running
from petpro_payment import refunds
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.errands import Errands
from petpro_payment.errors import TooLate
from petpro_payment.outcomes import RefundFailed
from petpro_payment.refunds import Submission
from petpro_payment.waiting import OLDEST_SECONDS, WAITING, count
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import PENDING, REFUSED, SUCCEEDED, Sale, World


def status_of(payload: bytes) -> str:
    return commands_pb2.RefundSubmitted.FromString(payload).refund_status


async def test_a_refund_from_reservation_to_settlement(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    assert (await world.order(sale.reserve("100000"))).outcome == SUCCEEDED
    assert (await world.order(sale.refund_entry())).outcome == SUCCEEDED
    assert (await world.order(sale.submit())).outcome == PENDING
    await world.one_step()
    assert status_of((await world.answer(sale.submit())).payload) == "pending"
    assert (await world.order(sale.settle())).outcome == PENDING
    provider.send_back(sale.refund_id)
    await world.work()
    assert (await world.answer(sale.settle())).outcome == SUCCEEDED
    paid = await world.payment(sale)
    assert (paid.status, paid.refund_reserved, paid.refund_done) == (
        PaymentStatus.PARTIALLY_REFUNDED,
        Decimal(0),
        Decimal(100000),
    )
    fee, back = await world.entries(sale)
    assert (back.total_amount, back.platform_fee, back.clinic_amount) == (-100000, -10000, -90000)
    assert (fee.status, back.status) == ("pending", "pending")
    assert await world.events(sale) == ["payment.captured", "refund.submitted", "refund.succeeded"]


async def replies(world: World) -> list[list[int]]:
    """The outcomes in each message to a saga, of all its commands in their order."""
    sent = await world.rows("SELECT payload FROM outbox WHERE subject LIKE 'petpro.replies.%' ORDER BY id")
    told = [saga_pb2.Reply.FromString(row.payload) for row in sent]
    return [[each.outcome for each in (*reply.before, reply)] for reply in told]


@pytest.mark.parametrize("is_gone_at_once", [True, False])
async def test_what_waits_for_the_money_is_answered_with_the_refund_when_that_is_gone_at_once(
    world: World, provider: PlayedProvider, is_gone_at_once: bool
) -> None:
    sale = await world.paid(Sale())
    before = await replies(world)
    orders = (sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle())
    said = await world.order_along(*orders)
    assert [each.outcome for each in said] == [SUCCEEDED, SUCCEEDED, PENDING, PENDING]
    if is_gone_at_once:
        provider.send_back(sale.refund_id)
    await world.one_step()
    if not is_gone_at_once:
        assert (await replies(world))[len(before) :] == [[SUCCEEDED, SUCCEEDED, SUCCEEDED, PENDING]]
        provider.send_back(sale.refund_id)
    await world.work()
    at_once, later = [[SUCCEEDED] * 4], [[SUCCEEDED, SUCCEEDED, SUCCEEDED, PENDING], [SUCCEEDED] * 4]
    assert (await replies(world))[len(before) :] == (at_once if is_gone_at_once else later)


async def test_behind_a_refused_refund_what_waits_for_the_money_is_told_nothing(
    world: World, provider: PlayedProvider
) -> None:
    sale = await world.paid(Sale())
    before = await replies(world)
    await world.order_along(sale.reserve("100000"), sale.refund_entry(), sale.submit(), sale.settle())
    provider.refuses_refunds = True
    await world.one_step()
    assert (await replies(world))[len(before) :] == [[SUCCEEDED, SUCCEEDED, REFUSED]]
    assert (await world.answer(sale.settle())).outcome == PENDING


async def reaches(world: World, sale: Sale, status: RefundStatus) -> None:
    async def reached() -> bool:
        return (await world.refunds(sale))[0].status is status

    await eventually(reached)


async def test_a_worker_that_runs_asks_again_about_what_is_on_its_way(world: World, provider: PlayedProvider) -> None:
    sales = [await world.paid(Sale()) for _ in range(2)]
    async with running(world.worker().run()):
        for sale in sales:
            await world.order(sale.reserve("100000"))
            await world.order(sale.submit())
            await reaches(world, sale, RefundStatus.PENDING)
        for sale in sales:
            provider.send_back(sale.refund_id)
            await reaches(world, sale, RefundStatus.SUCCEEDED)


async def test_every_order_twice_is_done_once(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    for order in (sale.fee(), sale.reserve("250000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
        await world.order(order, attempt=2)
        await world.order(order, command_id=str(new_id()))
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    for command_id in ("", "", str(new_id())):
        assert (await world.order(sale.settle(), command_id=command_id)).outcome == SUCCEEDED
    assert (await world.payment(sale)).status is PaymentStatus.REFUNDED
    assert len(await world.entries(sale)) == 2
    assert len(provider.refunds) == 1


async def test_fifty_at_once_never_exceed_the_payment(world: World) -> None:
    sale = await world.paid(Sale())
    answers = await asyncio.gather(*(world.order(sale.reserve("20000", new_id())) for _ in range(50)))
    outcomes = [answer.outcome for answer in answers]
    assert (outcomes.count(SUCCEEDED), outcomes.count(REFUSED)) == (12, 38)
    assert {answer.reason for answer in answers} == {"", "REFUND_EXCEEDS_PAYMENT"}
    assert (await world.payment(sale)).refund_reserved == 240000


async def test_what_was_not_taken_cannot_be_given_back(world: World) -> None:
    sale = Sale()
    assert (await world.order(sale.reserve("1"))).reason == "PAYMENT_NOT_CAPTURED"
    await world.order(sale.take())
    assert (await world.order(sale.reserve("1"), command_id="again")).reason == "PAYMENT_NOT_CAPTURED"


async def test_what_was_taken_in_one_currency_is_not_given_back_in_another(world: World) -> None:
    sale = await world.paid(Sale())
    other = replace(sale, price=Money(sale.price.amount, "USD"))
    assert (await world.order(other.reserve("1000"))).reason == "REFUND_EXCEEDS_PAYMENT"
    assert (await world.payment(sale)).refund_reserved == 0


async def test_a_released_reservation_can_be_used_by_another(world: World) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("250000"))
    for command_id in ("", "", "again"):
        assert (await world.order(sale.release(), command_id=command_id)).outcome == SUCCEEDED
    assert (await world.payment(sale)).refund_reserved == 0
    assert (await world.order(sale.submit())).reason == "CALLED_OFF"
    assert (await world.order(sale.reserve("250000"), command_id="late")).reason == "CALLED_OFF"
    assert (await world.order(sale.reserve("250000", new_id()))).outcome == SUCCEEDED


async def test_compensations_that_come_first_hold_off_their_orders(world: World) -> None:
    sale = await world.paid(Sale())
    assert (await world.order(sale.release())).outcome == SUCCEEDED
    assert (await world.order(sale.cancel_entry())).outcome == SUCCEEDED
    for late in (sale.reserve("1000"), sale.refund_entry(), sale.submit()):
        answer = await world.order(late)
        assert (answer.outcome, answer.reason) == (REFUSED, "CALLED_OFF")
    assert len(await world.entries(sale)) == 1


async def test_an_order_and_its_compensation_at_once_leave_nothing_half_done(world: World) -> None:
    sales = [await world.paid(Sale()) for _ in range(4)]
    both = (world.order(order) for sale in sales for order in (sale.reserve("1000"), sale.release()))
    await asyncio.gather(*both)
    for sale in sales:
        assert (await world.payment(sale)).refund_reserved == 0


async def test_a_definite_refusal_frees_the_amount_and_is_answered(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    provider.refuses_refunds = True
    for order in (sale.reserve("1000"), sale.refund_entry(), sale.submit()):
        await world.order(order)
    await world.work()
    answer = await world.answer(sale.submit())
    assert (answer.outcome, answer.reason) == (REFUSED, "REFUND_REFUSED")
    assert (await world.order(sale.cancel_entry())).outcome == SUCCEEDED
    assert (await world.order(sale.release())).outcome == SUCCEEDED
    assert (await world.payment(sale)).refund_reserved == 0
    assert [entry.status for entry in await world.entries(sale)] == ["pending", "cancelled"]
    assert await world.events(sale) == ["payment.captured", "refund.refused"]


async def test_a_refund_that_must_succeed_goes_to_a_person(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    provider.refuses_refunds = True
    for order in (sale.reserve("1000"), sale.refund_entry(), sale.submit(must_succeed=True)):
        await world.order(order)
    await world.work()
    assert status_of((await world.answer(sale.submit())).payload) == "manual"
    assert (await world.order(sale.settle())).outcome == PENDING
    assert (await world.payment(sale)).refund_reserved == 1000
    assert (await world.events(sale))[-1] == "refund.manual"


async def test_what_waits_for_a_person_is_counted(world: World, provider: PlayedProvider) -> None:
    provider.refuses_refunds = True
    for sale in [await world.paid(Sale()) for _ in range(2)]:
        await world.order(sale.reserve("1000"))
        await world.order(sale.submit(must_succeed=True))
    await world.work()
    await count(world.database)
    waiting = {what: WAITING.labels(what)._value.get() for what in ("refund for a person", "quarantined payment")}
    assert waiting == {"refund for a person": 2, "quarantined payment": 0}
    assert 0 < OLDEST_SECONDS.labels("refund for a person")._value.get() < 60


async def test_a_refund_of_unknown_outcome_is_never_guessed(world: World, provider: PlayedProvider) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    provider.mute = True
    await world.order(sale.submit())
    await world.one_step()
    provider.deaf = True
    for _ in range(4):
        await world.one_step()
    assert (await world.answer(sale.submit())).outcome == PENDING
    (unknown,) = await world.refunds(sale)
    assert unknown.status is RefundStatus.UNKNOWN
    provider.deaf = provider.mute = False
    await world.one_step()
    assert status_of((await world.answer(sale.submit())).payload) == "pending"
    assert list(provider.refunds) == [sale.refund_id]
    assert await world.rows("SELECT FROM refunds WHERE unknown_since IS NOT NULL") == []


async def test_a_refund_whose_answer_was_lost_is_looked_for_and_not_ordered_again(
    world: World, provider: PlayedProvider
) -> None:
    """Ordered again it would be refused, as all of it is given back by then: and be counted as not given."""
    sale = await world.paid(Sale())
    await world.order(sale.reserve("250000"))
    await world.order(sale.submit())
    provider.mute = True
    await world.one_step()
    provider.mute, provider.refuses_refunds = False, True
    await world.one_step()
    assert status_of((await world.answer(sale.submit())).payload) == "pending"
    assert provider.refused == set()


async def test_a_refund_that_was_taken_on_and_is_not_there_any_more_is_not_ordered_again(
    world: World, provider: PlayedProvider
) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    await world.order(sale.submit())
    await world.one_step()
    provider.refunds.clear()
    await world.one_step()
    (refund,) = await world.refunds(sale)
    assert (refund.status, provider.refunds) == (RefundStatus.PENDING, {})


async def test_a_refund_that_comes_back_after_it_was_gone_goes_to_a_person(
    world: World, provider: PlayedProvider
) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("1000"), sale.submit()):
        await world.order(order)
    await world.one_step()
    provider.send_back(sale.refund_id)
    await world.work()
    (gone,) = await world.refunds(sale)
    await world.worker().record_refund(gone, RefundFailed("re", "refund_failed"))
    (back,) = await world.refunds(sale)
    assert (gone.status, back.status) == (RefundStatus.SUCCEEDED, RefundStatus.REVERSED)
    assert (await world.events(sale))[-1] == "refund.manual"
    paid = await world.payment(sale)
    assert (paid.status, paid.refund_reserved, paid.refund_done) == (PaymentStatus.SUCCESS, Decimal(1000), Decimal(0))


async def test_what_is_on_its_way_cannot_be_released(world: World) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    await world.order(sale.submit())
    with pytest.raises(TooLate):
        await world.order(sale.release())


async def test_a_release_waits_for_a_submission_in_hand_and_is_too_late(world: World) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("1000"))
    async with world.database.transaction() as tx:
        await refunds.submit(tx, [Submission(sale.refund_id, "submit", must_succeed=False)], Errands())
        late = asyncio.create_task(world.order(sale.release()))
        await eventually(world.somebody_waits)
    with pytest.raises(TooLate):
        await late
