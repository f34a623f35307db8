"""TakePayment: once, twice, late, and with outcomes that nobody knows."""

import contextlib
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm
from prometheus_client.samples import Sample
from psycopg import Error as DatabaseError

from petpro.payment.v1 import commands_pb2
from petpro_common.money import Money
from petpro_common.sealing import Sealer
from petpro_common.testing import eventually, logged, running
from petpro_payment import metrics, payments, store_errands
from petpro_payment.domain import Origin, Payment, PaymentStatus
from petpro_payment.outcomes import Captured, Unknown
from petpro_payment.providers.provider import PaymentOrder
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import KEY, PENDING, PRICE, REFUSED, SUCCEEDED, Sale, World

SECRET = "4242 4242 4242 4242, Siti Aminah"


async def test_a_payment_is_pending_until_the_provider_has_answered(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    assert (await world.order(sale.take())).outcome == PENDING
    assert provider.charges == []
    await world.work()
    answer = await world.answer(sale.take())
    assert answer.outcome == SUCCEEDED
    assert commands_pb2.PaymentTaken.FromString(answer.payload).external_reference == f"pi_{sale.payment_id}"
    paid = await world.payment(sale)
    assert (paid.status, paid.captured, paid.payment_token) == (PaymentStatus.SUCCESS, PRICE.amount, None)
    assert await world.events(sale) == ["payment.captured"]


async def test_only_the_provider_is_told_what_was_sealed_for_us(
    world: World, provider: PlayedProvider, tmp_path: Path
) -> None:
    sale, ours = Sale(), load_pem_private_key(KEY.encode(), None)
    assert isinstance(ours, EllipticCurvePrivateKey)
    jwk = {**ECAlgorithm.to_jwk(ours.public_key(), as_dict=True), "kid": "payment"}
    (tmp_path / "jwks").write_bytes(orjson.dumps({"keys": [jwk]}))
    await world.order(sale.take(Sealer(tmp_path / "jwks", "payment").seal("tok_1", str(sale.payment_id))))
    (row,) = await world.rows("SELECT payment_token FROM payments")
    assert row.payment_token.startswith("sealed.")
    await world.work()
    assert provider.tokens == ["tok_1"]


async def test_what_was_sealed_for_another_payment_is_paid_with_nothing(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take("sealed.1.AAAA", within=0.1))
    await world.work()
    assert ((await world.payment(sale)).failure_reason, provider.tokens) == ("PAYMENT_TIMED_OUT", [])


async def test_a_copy_of_the_order_charges_nothing_more(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    for _ in range(3):
        await world.order(sale.take())
    await world.work()
    assert (await world.order(sale.take(), attempt=2)).outcome == SUCCEEDED
    assert (await world.order(sale.take(), command_id="another saga")).outcome == SUCCEEDED
    assert provider.charges == [sale.payment_id]


async def test_a_free_service_is_paid_without_the_provider(world: World, provider: PlayedProvider) -> None:
    sale = Sale(price=Money(Decimal(0), "IDR"))
    assert (await world.order(sale.take())).outcome == SUCCEEDED
    assert provider.payments == {}


async def test_an_unknown_outcome_is_never_guessed(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.mute = True
    await world.order(sale.take())
    await world.one_step()
    assert (await world.answer(sale.take())).outcome == PENDING
    assert (await world.payment(sale)).status is PaymentStatus.UNKNOWN
    provider.deaf = True
    for _ in range(5):
        await world.one_step()
    assert (await world.answer(sale.take())).outcome == PENDING
    provider.deaf = provider.mute = False
    await world.work()
    assert (await world.answer(sale.take())).outcome == SUCCEEDED
    assert provider.charges == [sale.payment_id]


async def test_outcomes_that_nobody_knows_are_counted_from_the_start(world: World) -> None:
    with contextlib.suppress(KeyError):
        metrics.UNKNOWN_OUTCOMES.remove("played")
    world.worker()
    counted = {sample.labels["provider"]: sample.value for sample in _unknown_outcomes()}
    assert counted["played"] == 0


def _unknown_outcomes() -> list[Sample]:
    (family,) = metrics.UNKNOWN_OUTCOMES.collect()
    return [sample for sample in family.samples if sample.name.endswith("_total")]


async def test_of_a_provider_that_breaks_the_adapter_the_log_holds_no_answer(
    world: World, provider: PlayedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(_: PaymentOrder) -> Captured:
        raise ValueError(SECRET)

    monkeypatch.setattr(provider, "create_payment", break_down)
    sale = Sale()
    await world.order(sale.take())
    with logged() as lines:
        await world.one_step()
    line = next(line for line in lines if line["event"] == "asking the provider failed")
    (fault,) = line["exception"]
    assert (fault["kind"], line["provider"]) == ("builtins.ValueError", "played")
    assert fault["frames"][-1].endswith(":break_down")
    assert SECRET not in str(lines)
    assert (await world.payment(sale)).status is PaymentStatus.UNKNOWN


async def test_a_worker_that_cannot_record_an_answer_logs_no_word_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: object) -> None:
        raise DatabaseError(SECRET)

    monkeypatch.setattr(payments, "learn", break_down)
    await world.order(Sale().take())
    with logged() as lines:
        async with running(world.worker().run()):
            await eventually(lambda: any(line["event"] == "worker tries again" for line in lines))
    line = next(line for line in lines if line["event"] == "worker tries again")
    assert line["exception"][0]["kind"] == "psycopg.Error"
    assert SECRET not in str(lines)


async def test_a_worker_that_dies_before_it_records_leads_to_one_charge(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    (claimed,) = await world.worker().claim(5)
    await world.worker().asking.about_payment(claimed)  # type: ignore[arg-type]  # it is a payment
    assert provider.charges == [sale.payment_id]
    assert (await world.payment(sale)).status is PaymentStatus.PROCESSING
    await world.one_step()
    assert (await world.answer(sale.take())).outcome == SUCCEEDED
    assert provider.charges == [sale.payment_id]


async def test_a_worker_that_dies_before_it_asks_leads_to_one_charge(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    await world.worker().claim(5)
    await world.one_step()
    assert provider.charges == [sale.payment_id]


async def test_two_workers_do_not_take_the_same_payment(world: World) -> None:
    for _ in range(6):
        await world.order(Sale().take())
    async with world.database.transaction() as tx:  # one that takes them at this moment
        first = await tx.execute(store_errands._CLAIM, {"lease": 30.0, "limit": 4})
        second = await world.worker().claim(4)
    third = await world.worker().claim(4)
    assert (len(first.all()), len(second), len(third)) == (4, 2, 0)
    assert not {row.id for row in first} & {item.id for item in second if isinstance(item, Payment)}


async def test_who_does_not_pay_in_time_is_timed_out(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    assert ((await world.payment(sale)).payment_details or {})["customer_action"] == "scan me"
    await world.run_out(sale)
    await world.work()
    answer = await world.answer(sale.take())
    assert (answer.outcome, answer.reason) == (REFUSED, "PAYMENT_TIMED_OUT")
    assert (await world.payment(sale)).status is PaymentStatus.FAILED
    assert await world.events(sale) == ["payment.failed"]


async def test_what_is_overdue_before_the_provider_was_asked_is_never_ordered(
    world: World, provider: PlayedProvider
) -> None:
    sale = Sale()
    await world.order(sale.take(within=-1))
    await world.work()
    assert (await world.answer(sale.take())).reason == "PAYMENT_TIMED_OUT"
    assert provider.charges == []


async def test_who_paid_in_the_last_instant_has_paid(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    provider.take(sale.payment_id, PRICE)
    await world.run_out(sale)
    await world.work()
    assert (await world.answer(sale.take())).outcome == SUCCEEDED


async def test_an_overdue_payment_of_unknown_outcome_stays_pending(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.deaf = True
    await world.order(sale.take())
    await world.one_step()
    await world.run_out(sale)
    for _ in range(4):
        await world.one_step()
    assert (await world.answer(sale.take())).outcome == PENDING


async def test_another_amount_is_quarantined_and_never_confirmed(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.takes_instead = Money(Decimal("100.00"), "IDR")
    await world.order(sale.take())
    await world.work()
    answer = await world.answer(sale.take())
    assert (answer.outcome, answer.reason) == (REFUSED, "PAYMENT_REFUSED")
    assert (await world.payment(sale)).captured == 0
    (row,) = await world.rows("SELECT quarantined_at FROM payments")
    assert row.quarantined_at is not None


async def test_money_after_the_time_out_goes_back_by_itself(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    await world.run_out(sale)
    await world.work()
    late = provider.take(sale.payment_id, PRICE)
    await world.worker().record_payment(await world.payment(sale), late)
    (refund,) = await world.refunds(sale)
    assert (refund.origin, refund.amount) == (Origin.LATE_PAYMENT, PRICE.amount)
    assert (await world.answer(sale.take())).reason == "PAYMENT_TIMED_OUT"


async def test_a_fault_of_the_adapter_is_no_outcome(world: World, provider: PlayedProvider) -> None:
    sale = Sale()
    await world.order(sale.take())
    (claimed,) = await world.worker().claim(5)
    provider.payments = None  # type: ignore[assignment]  # whatever it does now raises
    outcome = await world.worker().asking.about_payment(claimed)  # type: ignore[arg-type]  # it is a payment
    assert isinstance(outcome, Unknown)
