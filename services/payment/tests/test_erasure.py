"""People who were erased: the books stay to the cent, and their words go; nothing else of the books can."""

import pytest
from psycopg import errors

from petpro_common.personal.erasure import forget_again
from petpro_payment.consumer import EVENT_HANDLERS
from petpro_payment.store_personal import forget
from services.payment.tests.world import SUCCEEDED, Sale, World

REASONS = """
    SELECT reason FROM refunds WHERE id = :id UNION ALL
    SELECT reason FROM money_orders WHERE subject_id = :id AND verb = 'ReserveRefund'
"""
BOOKS = """
    SELECT to_jsonb(refunds) - 'reason' AS row FROM refunds UNION ALL SELECT to_jsonb(payments) FROM payments
    ORDER BY row
"""


async def reasons(world: World, sale: Sale) -> set[str]:
    return {row.reason for row in await world.rows(REASONS, id=sale.refund_id)}


async def test_only_the_words_of_who_was_erased_go_also_those_that_come_late(world: World) -> None:
    mine, late, other = [await world.paid(Sale()) for _ in range(3)]
    for sale in (mine, other):
        assert (await world.order(sale.reserve("100000"))).outcome == SUCCEEDED
    books = [row.row for row in await world.rows(BOOKS)]
    async with world.database.transaction() as tx:
        for sale in (mine, late):
            await EVENT_HANDLERS["user.erased"](tx, {"event_type": "user.erased", "user_id": str(sale.user_id)})

    assert await reasons(world, mine) == {"erased"}
    assert await reasons(world, other) == {"the dog is well again"}
    assert [row.row for row in await world.rows(BOOKS)] == books
    await world.order(late.reserve("100000"))
    await forget_again(world.database, forget)
    assert await reasons(world, late) == {"erased"}


@pytest.mark.parametrize("reason", ["", "no-show"])
async def test_a_reason_in_nobodys_words_stays(world: World, reason: str) -> None:
    sale = await world.paid(Sale())
    order = sale.reserve("100000")
    order.reason = reason
    assert (await world.order(order)).outcome == SUCCEEDED
    before = await reasons(world, sale)

    async with world.database.transaction() as tx:
        await forget(tx, [sale.user_id])

    assert await reasons(world, sale) == before == {reason, reason or f"booking {sale.booking_id}"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE refunds SET reason = 'another'",
        "UPDATE refunds SET reason = 'erased', amount = 1",
        "UPDATE money_orders SET reason = 'another'",
        "UPDATE money_orders SET reason = 'erased', verb = 'another'",
        "DELETE FROM money_orders",
    ],
)
async def test_the_books_let_nothing_else_go(world: World, change: str) -> None:
    sale = await world.paid(Sale())
    await world.order(sale.reserve("100000"))
    with pytest.raises(errors.RestrictViolation):
        await world.run(change)
