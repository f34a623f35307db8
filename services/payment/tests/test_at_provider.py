"""`petproctl money at-provider` lists what the alarms count: what providers are asked about, by the names they know."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typer.testing import CliRunner

from devstack.testing import Database as Made
from devstack.testing import MakeDatabase
from petpro_common.db import Database
from petpro_payment import store_queue
from petpro_payment.domain import Origin
from petproctl.main import app
from services.payment.tests.played import PlayedProvider
from services.payment.tests.world import Sale, World


@pytest.fixture
async def made(database: MakeDatabase) -> Made:
    return await database("payment")


@pytest.fixture
async def pool(made: Made) -> AsyncIterator[Database]:
    pool = Database(made.url, made.password, pool_size=10)
    yield pool
    await pool.close()


async def listed(made: Made, *words: str) -> list[dict[str, Any]]:
    command = ["money", "at-provider", "--dsn", f"payment={made.dsn}", *words, "--json"]
    said = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert said.exit_code == 0, said.output
    return list(json.loads(said.stdout)["open"])


async def alarm(world: World) -> int:
    async with world.database.transaction() as tx:
        return int(
            next(row.found for row in await store_queue.waiting(tx, 300.0) if row.what == "refund at the provider")
        )


async def sent_back(world: World, sale: Sale) -> Sale:
    for order in (sale.reserve("250000"), sale.submit()):
        await world.order(order)
    await world.one_step()
    return sale


async def test_a_refund_that_is_taken_on_is_listed_until_its_money_is_gone(
    world: World, provider: PlayedProvider, made: Made
) -> None:
    sale = await sent_back(world, await world.paid(Sale()))
    [found] = await listed(made)
    assert (found["kind"], found["id"], found["status"]) == ("refund", str(sale.refund_id), "pending")
    assert (found["provider"], found["external_reference"]) == ("played", f"re_{sale.refund_id}")
    assert found["amount"] == {"currency_code": "IDR", "amount": "250000.00"}
    assert (found["payment_id"], found["booking_id"]) == (str(sale.payment_id), str(sale.booking_id))
    assert await alarm(world) == 1
    assert await listed(made, "--older-than", "1m") == []

    provider.send_back(sale.refund_id)
    await world.work()

    assert await listed(made) == []
    assert await alarm(world) == 0


async def test_money_that_came_too_late_is_listed_though_no_saga_waits_for_it(
    world: World, provider: PlayedProvider, made: Made
) -> None:
    sale = Sale()
    provider.waits_for_customer = True
    await world.order(sale.take())
    await world.one_step()
    [open_payment] = await listed(made)
    assert (open_payment["kind"], open_payment["id"], open_payment["status"]) == (
        "payment",
        str(sale.payment_id),
        "processing",
    )
    await world.order(sale.cancel())
    captured = provider.take(sale.payment_id, sale.price)
    await world.worker().record_payment(await world.payment(sale), captured)
    await world.one_step()

    [refund] = await world.refunds(sale)
    assert refund.origin is not Origin.CANCELLATION
    assert [each["id"] for each in await listed(made)] == [str(refund.id)]
    assert await alarm(world) == 1


async def test_of_nobody_knows_what_the_provider_did_the_list_says_so(
    world: World, provider: PlayedProvider, made: Made
) -> None:
    sale = await world.paid(Sale())
    provider.deaf = True
    await sent_back(world, sale)
    [found] = await listed(made)
    assert (found["status"], found["external_reference"], found["retries"]) == ("unknown", "", 0)
