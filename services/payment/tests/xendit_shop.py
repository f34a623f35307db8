"""A shop that takes its payments through Xendit, which is played: its orders, callbacks, refunds and lists."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aiohttp import encode_basic_auth

from petpro_common.db import Database
from petpro_payment import reconciliation, webhooks
from petpro_payment.domain import Disposition
from petpro_payment.providers import http
from petpro_payment.providers.movements import Kind, Movement, Span
from petpro_payment.providers.xendit import XenditProvider
from services.payment.tests.fake_xendit import CALLBACK_TOKEN, SECRET_KEY, Callback, FakeXendit
from services.payment.tests.loopback import serving
from services.payment.tests.world import Sale, World


@asynccontextmanager
async def open_shop(pool: Database, xendit: FakeXendit) -> AsyncIterator[World]:
    key = encode_basic_auth(SECRET_KEY)
    async with serving(*xendit.routes()) as url, http.open_client(url, 20.0, key) as client:
        yield World(pool, {"xendit": XenditProvider(client, CALLBACK_TOKEN, "https://app.example")}, "xendit")


async def deliver(shop: World, callback: Callback) -> Disposition:
    (disposition,) = await webhooks.receive(shop.under_lock, shop.providers, "xendit", *callback)
    return disposition


async def asked(shop: World, sale: Sale, method: str = "qris", token: str = "") -> Sale:
    await shop.order(sale.take(token, method))
    await shop.one_step()
    return sale


async def refund_submitted(shop: World, xendit: FakeXendit, amount: str = "100000") -> Sale:
    sale = await asked(shop, Sale())
    xendit.pay(sale.payment_id)
    await shop.work()
    for order in (sale.fee(), sale.reserve(amount), sale.refund_entry(), sale.submit(), sale.settle()):
        await shop.order(order)
    await shop.one_step()
    return sale


async def moved(shop: World, kind: Kind, size: int) -> list[Movement]:
    """All pages of the last five minutes."""
    found: list[Movement] = []
    now = datetime.now(UTC)
    span = Span(kind, now - timedelta(minutes=5), now, size)
    while True:
        page = await reconciliation.page(shop.database, shop.providers["xendit"], span)
        assert len(page.movements) <= size
        found += page.movements
        if not page.end:
            return found
        span = replace(span, after=page.end)
