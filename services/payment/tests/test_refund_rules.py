"""What the database itself refuses of refunds and their entries, whatever the code does."""

import pytest
from psycopg import IntegrityError

from services.payment.tests.world import Sale, World


async def test_the_database_itself_refuses_to_give_back_too_much(world: World) -> None:
    await world.paid(Sale())
    with pytest.raises(IntegrityError, match="refunds_within_capture"):
        await world.run("UPDATE payments SET refund_reserved = 200000, refund_done = 50000.01")


ORDERED = "stays as it was ordered"
ANOTHER_ENTRY = """
    INSERT INTO financial_entries (id, booking_id, clinic_id, payment_id, refund_id, type, currency, total_amount,
        platform_fee, clinic_amount, tax_amount)
    SELECT gen_random_uuid(), booking_id, clinic_id, payment_id, refund_id, type, currency, total_amount,
        platform_fee, clinic_amount, tax_amount FROM financial_entries WHERE type = '{}'
"""
TWO_WHOLE_REFUNDS = """
    INSERT INTO refunds (id, payment_id, booking_id, origin, amount, currency, status, reason)
    SELECT gen_random_uuid(), payment_id, booking_id, 'called_off', amount, currency, 'reserved', reason
    FROM refunds, generate_series(1, 2)
"""


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (ANOTHER_ENTRY.format("booking_fee"), "financial_one_fee"),
        (ANOTHER_ENTRY.format("refund"), "financial_one_entry_per_refund"),
        (TWO_WHOLE_REFUNDS, "refunds_whole_once"),
        ("UPDATE payments SET captured = captured - 1", "captured_all_or_nothing"),
        ("UPDATE refunds SET amount = amount - 1", ORDERED),
        ("UPDATE refunds SET currency = 'USD'", ORDERED),
        ("UPDATE refunds SET booking_id = gen_random_uuid()", ORDERED),
        ("UPDATE refunds SET reason = 'another'", ORDERED),
        ("UPDATE refunds SET origin = 'called_off'", ORDERED),
    ],
)
async def test_the_database_itself_keeps_what_is_once_and_what_was_ordered(
    world: World, change: str, rule: str
) -> None:
    sale = await world.paid(Sale())
    for order in (sale.reserve("1000"), sale.refund_entry()):
        await world.order(order)
    with pytest.raises(IntegrityError, match=rule):
        await world.run(change)


async def test_the_database_itself_cancels_nothing_that_is_settled(world: World) -> None:
    await world.paid(Sale())
    await world.run("UPDATE financial_entries SET status = 'settled', settlement_date = now()")
    with pytest.raises(IntegrityError, match="stays so"):
        await world.run("UPDATE financial_entries SET status = 'cancelled', settlement_date = NULL")
