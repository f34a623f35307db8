"""The service told to stop, as a rolling update does, while its provider has an order in hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from devstack.ports import free_port
from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from petpro_common.testing import eventually
from services.payment.tests.orders import definite_replies, give_orders
from services.payment.tests.played import PlayedProvider
from services.payment.tests.provider_list import provider_list
from services.payment.tests.test_crashes import rows
from services.payment.tests.world import Sale, World

PORT = free_port()
STOP_SECONDS = 6
TOLD = {
    "SANDBOX_URL": f"http://127.0.0.1:{PORT}",
    "STOP_SECONDS": STOP_SECONDS,
    "PROVIDER_TIMEOUT_SECONDS": 30,
    "LEASE_SECONDS": 15,
    "POLL_SECONDS": 0.1,
    "NOT_FOUND_GRACE_SECONDS": 1,
}
STANDING = "SELECT status, attempts FROM payments WHERE id = '{}'"


@dataclass
class SlowProvider:
    """The sandbox, which does at once what it is asked, and answers when it may."""

    sandbox: str
    asked: list[str] = field(default_factory=list)
    has_done: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_on(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, f"http://{self.sandbox}{request.path_qs}", headers=headers, data=await request.read()
            ) as answer,
        ):
            body, status = await answer.read(), answer.status
        self.has_done.set()
        await self.may_answer.wait()
        return web.Response(body=body, status=status, content_type="application/json")


@pytest.fixture(scope="module")
def stack(start_own_stack: StartStack) -> RunningStack:
    settings = {"payment": {f"PETPRO_PAYMENT_{name}": str(value) for name, value in TOLD.items()}}
    return start_own_stack(("postgres", "nats", "sandbox", "payment"), settings)


@pytest.fixture
async def slow(stack: RunningStack) -> AsyncIterator[SlowProvider]:
    provider = SlowProvider(surroundings_of(stack).ports.address("sandbox"))
    played = web.Application()
    played.add_routes([web.route("*", "/{path:.*}", provider.pass_on)])
    runner = web.AppRunner(played, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    yield provider
    await runner.cleanup()


async def test_what_the_provider_answers_slowly_is_asked_once_and_written_down(
    stack: RunningStack, slow: SlowProvider
) -> None:
    sale, url = Sale(), surroundings_of(stack).nats.operator_url
    await give_orders(url, [(sale.take(), sale.payment_id)])
    await slow.has_done.wait()
    stopping = asyncio.create_task(stack.stop_part("payment"))
    await eventually(lambda: '"event":"draining"' in stack.log("payment"))
    await asyncio.sleep(1)
    assert not stopping.done()
    slow.may_answer.set()
    await stopping
    assert [tuple(row) for row in rows(stack, STANDING.format(sale.payment_id))] == [("success", 1)]
    await stack.start_part("payment")
    assert len(await definite_replies(url, 1)) == 1
    assert len(slow.asked) == 1
    assert len(provider_list(stack, "/v1/payment_intents")) == 1


async def test_a_provider_that_hangs_keeps_nobody_from_ending_in_time(stack: RunningStack, slow: SlowProvider) -> None:
    sale, url = Sale(), surroundings_of(stack).nats.operator_url
    await give_orders(url, [(sale.take(), sale.payment_id)])
    await slow.has_done.wait()
    began = time.monotonic()
    await stack.stop_part("payment")
    assert STOP_SECONDS - 1 < time.monotonic() - began < STOP_SECONDS + 8
    assert "stopped before all in hand had ended" in stack.log("payment")
    assert [tuple(row) for row in rows(stack, STANDING.format(sale.payment_id))] == [("processing", 1)]
    slow.may_answer.set()
    await stack.start_part("payment")
    await eventually(lambda: [tuple(row) for row in rows(stack, STANDING.format(sale.payment_id))] == [("success", 2)])
    assert slow.asked[0].startswith("POST")
    assert not [asked for asked in slow.asked[1:] if asked.startswith("POST")], "it is looked for, not ordered again"


async def test_what_was_handed_over_is_asked_about_before_the_worker_ends(
    world: World, provider: PlayedProvider
) -> None:
    """Ordered while it stops: claimed with the order, so nobody else would ask before the lease has ended."""
    sale, worker = Sale(), world.runner
    work = asyncio.create_task(worker.run())
    await eventually(lambda: worker.errands.room > 0)
    await world.order(sale.take())
    worker.drain()
    assert worker.errands.room == 0
    async with asyncio.timeout(30):
        await work
    assert provider.charges == [sale.payment_id]
    assert (await world.payment(sale)).attempts == 1
