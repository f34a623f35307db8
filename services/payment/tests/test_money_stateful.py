"""Captures, webhooks in any order, partial refunds, failures, reversals, retries, payouts, settlements against a model.

The model knows amounts and statuses and nothing of the database. After every step the two say the same, and the
journal is balanced and says what the tables say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from petpro.payment.v1 import commands_pb2
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.money import Money, minor_unit
from petpro_payment import refunds, store, store_audit, store_refunds, store_settlements, webhooks
from petpro_payment.errors import RefundNotRetriable, TooLate
from petpro_payment.outcomes import Captured, Declined, PaymentOutcome, Processing, RefundFailed, RefundOutcome
from petpro_payment.providers.provider import ProviderEvent
from services.payment.tests.money_model import (
    ASTRAY,
    BOOKS,
    FOR_A_PERSON,
    OPEN,
    PRICES,
    REFUND_WORDS,
    SET_ASIDE,
    SUBMITTED,
    TABLES,
    UNBALANCED,
    Payment,
    Refund,
    Telling,
)
from services.payment.tests.world import REFUSED, SUCCEEDED, Sale, World

T = TypeVar("T")
TELLABLE = (*SUBMITTED, "pending", "succeeded", *FOR_A_PERSON)
"""In these a provider may tell something of a refund."""
_LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""After all that is sold here."""


class Trade(RuleBasedStateMachine):
    """One clinic's trade. `world` and `loop` are given by the test."""

    world: World
    provider: Telling
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.clinic = new_id()
        self.payments: list[Payment] = []
        self.runs = 0
        self.change_weather("fine")

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def of(self, data: st.DataObject, *statuses: str) -> tuple[Payment, Refund]:
        """A refund in one of these statuses, and its payment."""
        found = [(p, r) for p in self.payments for r in p.refunds.values() if r.status in statuses]
        return data.draw(st.sampled_from(found), "refund")

    def has(self, *statuses: str) -> bool:
        return any(refund.status in statuses for payment in self.payments for refund in payment.refunds.values())

    @rule(price=PRICES)
    def order(self, price: tuple[str, str]) -> None:
        if len(self.payments) < 4:
            sale = Sale(clinic_id=self.clinic, price=Money(Decimal(price[0]), price[1]))
            self.do(self.world.order(sale.take(within=3600)))
            self.payments.append(Payment(sale))

    @initialize(price=PRICES)
    def sell(self, price: tuple[str, str]) -> None:
        """Somebody has paid already, and has a part of it on its way back."""
        self.order(price)
        self.ask()
        self.do(self.world.order(self.payments[0].sale.fee("12.50")))
        self.payments[0].has_fee = True
        refund = self._reserve(self.payments[0], 33)
        self._submit(self.payments[0], refund, must_succeed=False)
        self.ask()

    @rule(weather=st.sampled_from(["fine", "fine", "fine", "deaf", "mute", "refusing", "putting off"]))
    def change_weather(self, weather: str) -> None:
        self.provider.deaf, self.provider.mute = weather == "deaf", weather == "mute"
        self.provider.refuses_refunds, self.provider.puts_refunds_off = weather == "refusing", weather == "putting off"

    @rule()
    def ask(self) -> None:
        """The worker asks about everything once."""
        for payment in self.payments:
            if payment.status in OPEN:
                payment.ask(self.provider)
            for refund in payment.refunds.values():
                if refund.status in (*SUBMITTED, "pending"):
                    refund.ask(self.provider)
        self.do(self.world.one_step())

    @precondition(lambda self: self.payments)
    @rule(data=st.data(), kind=st.sampled_from([Captured, Declined, Processing]), copies=st.integers(1, 2))
    def webhook_of_a_payment(self, data: st.DataObject, kind: type, copies: int) -> None:
        payment = data.draw(st.sampled_from(self.payments), "payment")
        reference = payment.sale.payment_id
        told: dict[type, PaymentOutcome] = {
            Captured: Captured(f"pi_{reference}", payment.sale.price, datetime.now(UTC)),
            Declined: Declined("CARD_DECLINED"),
            Processing: Processing(f"pi_{reference}"),
        }
        if not isinstance(self.provider.payments.get(reference), Captured) or kind is Captured:
            self.provider.payments[reference] = told[kind]
        self._tell(str(reference), told[kind], False, copies)
        if kind is Captured and payment.status in (*OPEN, "failed"):
            payment.capture()
        elif kind is Declined and payment.status in OPEN:
            payment.status = "failed"

    @precondition(lambda self: self.has(*TELLABLE))
    @rule(data=st.data(), kind=REFUND_WORDS, copies=st.integers(1, 2))
    def webhook_of_a_refund(self, data: st.DataObject, kind: type, copies: int) -> None:
        _, refund = self.of(data, *TELLABLE)
        external = data.draw(st.sampled_from([refund.name, refund.there or refund.name]), "attempt")
        told = RefundFailed(external, "account_closed") if kind is RefundFailed else kind(external)
        self.provider.refunds[refund.id] = told
        self._tell(str(refund.id), told, True, copies)
        refund.hear(told)

    def _tell(self, reference: str, told: PaymentOutcome | RefundOutcome, is_refund: bool, copies: int) -> None:
        event = ProviderEvent(str(new_id()), "told", reference, told, is_refund, {})
        self.provider.events[event.event_id.encode()] = event
        for _ in range(copies):
            providers = self.world.providers
            self.do(webhooks.receive(self.world.under_lock, providers, "played", {}, event.event_id.encode()))

    @precondition(lambda self: any(payment.captured and not payment.has_fee for payment in self.payments))
    @rule(data=st.data())
    def post_fee(self, data: st.DataObject) -> None:
        paid = [each for each in self.payments if each.captured and not each.has_fee]
        payment = data.draw(st.sampled_from(paid), "payment")
        if UUID(int=0) not in payment.refunds:
            self.do(self.world.order(payment.sale.fee("12.50")))
            payment.has_fee = True

    @precondition(lambda self: self.payments)
    @rule(data=st.data(), percent=st.sampled_from([1, 10, 33, 50, 67, 100, 130]))
    def reserve(self, data: st.DataObject, percent: int) -> None:
        self._reserve(data.draw(st.sampled_from(self.payments), "payment"), percent)

    def _reserve(self, payment: Payment, percent: int) -> Refund:
        unit = minor_unit(payment.sale.price.currency)
        amount = max(unit, (payment.sale.price.amount * percent / 100).quantize(unit))
        refund = Refund(new_id(), amount)
        said = self.do(self.world.order(payment.sale.reserve(str(amount), refund.id)))
        fits = payment.captured > 0 and amount <= payment.free
        assert said.outcome == (SUCCEEDED if fits else REFUSED)
        if fits:
            payment.refunds[refund.id] = refund
        return refund

    @precondition(lambda self: self.has("reserved"))
    @rule(data=st.data(), must_succeed=st.booleans())
    def submit(self, data: st.DataObject, must_succeed: bool) -> None:
        self._submit(*self.of(data, "reserved"), must_succeed=must_succeed)

    def _submit(self, payment: Payment, refund: Refund, *, must_succeed: bool) -> None:
        if payment.has_fee:
            self.do(self.world.order(refund.entry_order(payment)))
            refund.entry = "pending"
        order = commands_pb2.SubmitRefund(refund_id=str(refund.id), must_succeed=must_succeed)
        self.do(self.world.order(order))
        refund.status, refund.must_succeed = "submitted", must_succeed

    @precondition(lambda self: self.has("reserved", "refused", "succeeded", "pending"))
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        """Compensates a refund, as far as it can be."""
        payment, refund = self.of(data, "reserved", "refused", "succeeded", "pending")
        release = commands_pb2.ReleaseRefund(refund_id=str(refund.id), payment_id=str(payment.sale.payment_id))
        if refund.status in ("succeeded", "pending"):
            with pytest.raises(TooLate):
                self.do(self.world.order(release, command_id=str(new_id())))
            return
        if refund.entry:
            self.do(self.world.order(refund.entry_cancelled(payment), command_id=str(new_id())))
            refund.entry = "cancelled"
        self.do(self.world.order(release, command_id=str(new_id())))
        refund.status = "released" if refund.status == "reserved" else refund.status

    @precondition(lambda self: self.has(*FOR_A_PERSON))
    @rule(data=st.data())
    def pay_out(self, data: st.DataObject) -> None:
        _, refund = self.of(data, *FOR_A_PERSON)
        self.do(self._within(lambda tx: refunds.pay_out(tx, refund.id, "transfer", dry_run=False)))
        refund.status, refund.is_paid_out = "succeeded", True
        self.provider.refunds.pop(refund.id, None)

    async def _within(self, act: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self.world.database.transaction() as tx:
            return await act(tx)

    @precondition(lambda self: self.has(*FOR_A_PERSON))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        _, refund = self.of(data, *FOR_A_PERSON)
        with pytest.raises(RefundNotRetriable) if refund.status == "reversed" else nullcontext():
            self.do(self._within(lambda tx: refunds.retry(tx, self.world.providers, refund.id, dry_run=False)))
            refund.try_again()

    @rule(currency=st.sampled_from(["IDR", "USD", "JPY"]))
    def settle(self, currency: str) -> None:
        sold = [each for each in self.payments if each.sale.price.currency == currency]
        fees = [each for each in sold if each.has_fee and not each.is_settled]
        gone = [
            refund
            for payment in sold
            for refund in payment.refunds.values()
            if refund.entry == "pending" and refund.status == "succeeded" and not refund.is_settled
        ]
        made = self.do(self._settle(currency))
        earned = sum((each.sale.price.amount for each in fees), Decimal(0)) - sum((r.amount for r in gone), Decimal(0))
        if made is not None:
            assert (made.entry_count, made.total_amount) == (len(fees) + len(gone), earned)
            for fee in fees:
                fee.is_settled = True
            for refund in gone:
                refund.is_settled = True
        else:
            assert not fees or earned <= 0

    async def _settle(self, currency: str) -> Any:
        async with self.world.database.transaction() as tx:
            self.runs += 1
            until = _LATER + timedelta(seconds=self.runs)  # no two settlements end at the same instant
            made = await store_settlements.settle(tx, new_id(), self.clinic, currency, until)
            if made is not None:
                store_audit.record_operation(tx, "somebody", "settle", made.id, "the model says so")
            return made

    @invariant()
    def the_model_and_the_database_agree(self) -> None:
        seen = self.do(self._look()) if self.payments else []
        for payment, (found, told) in zip(self.payments, seen, strict=True):
            done, aside = payment.sum_of("succeeded"), payment.sum_of(*SET_ASIDE)
            assert (found.captured, found.refund_done, found.refund_reserved) == (payment.captured, done, aside)
            payment.name_the_whole_refund({each.id for each in told})
            assert {each.id: each.status.value for each in told} == {
                each.id: each.status for each in payment.refunds.values()
            }
            if payment.captured:
                after = {Decimal(0): "success", payment.captured: "refunded"}.get(done, "partially_refunded")
                assert found.status == after
            else:
                assert found.status == payment.status or {found.status, payment.status} <= set(OPEN)

    async def _look(self) -> list[tuple[Any, Any]]:
        """Each payment as the database has it, with its refunds."""
        async with self.world.database.transaction() as tx:
            ids = [payment.sale.payment_id for payment in self.payments]
            return [(await store.find_payment(tx, id_), await store_refunds.refunds_of(tx, id_)) for id_ in ids]

    @invariant()
    def the_books_balance_and_say_what_the_tables_say(self) -> None:
        for wrong in (UNBALANCED, ASTRAY):
            assert self.do(self.world.rows(wrong, clinic=self.clinic)) == []
        books, tables = (self.do(self.world.rows(each, clinic=self.clinic)) for each in (BOOKS, TABLES))
        assert {row.account: row.balance for row in books} == {row.account: row.balance for row in tables}

    def teardown(self) -> None:
        """What still waits is nobody else's."""
        for table in ("payments", "refunds"):
            self.do(self.world.run(f"UPDATE {table} SET due_at = NULL WHERE due_at IS NOT NULL"))  # noqa: S608


async def test_no_divergence(world: World) -> None:
    provider = Telling()
    world.providers = {"played": provider}
    made = type("Trade", (Trade,), {"world": world, "provider": provider, "loop": asyncio.get_running_loop()})
    # What fails is told step by step; making it shorter would take minutes.
    told = {"phases": [Phase.generate], "database": None, "suppress_health_check": list(HealthCheck)}
    limits = settings(max_examples=20, stateful_step_count=40, **told)  # type: ignore[arg-type]
    await asyncio.to_thread(run_state_machine_as_test, made, settings=limits, _min_steps=40)
