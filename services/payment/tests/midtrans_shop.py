"""A shop that takes its payments through Midtrans, which is played: its orders, notifications and refunds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import encode_basic_auth

from petpro_common.db import Database
from petpro_payment import webhooks
from petpro_payment.domain import Disposition
from petpro_payment.providers import http
from petpro_payment.providers.midtrans import MidtransProvider
from services.payment.tests.fake_midtrans import SERVER_KEY, FakeMidtrans
from services.payment.tests.loopback import serving
from services.payment.tests.world import Sale, World


@asynccontextmanager
async def open_shop(pool: Database, midtrans: FakeMidtrans) -> AsyncIterator[World]:
    key = encode_basic_auth(SERVER_KEY)
    async with serving(*midtrans.routes()) as url, http.open_client(url, 20.0, key) as client:
        yield World(pool, {"midtrans": MidtransProvider(client, SERVER_KEY, "https://app.example")}, "midtrans")


async def deliver(shop: World, body: bytes) -> list[Disposition]:
    return list(await webhooks.receive(shop.under_lock, shop.providers, "midtrans", {}, body))


async def asked(shop: World, sale: Sale, method: str = "qris", token: str = "") -> Sale:
    await shop.order(sale.take(token, method))
    await shop.one_step()
    return sale


async def settled(shop: World, midtrans: FakeMidtrans) -> Sale:
    sale = await asked(shop, Sale())
    await deliver(shop, midtrans.becomes(sale.payment_id, "settlement"))
    return sale


async def refund_submitted(shop: World, sale: Sale, amount: str = "100000") -> Sale:
    for order in (sale.fee(), sale.reserve(amount), sale.refund_entry(), sale.submit(), sale.settle()):
        await shop.order(order)
    await shop.one_step()
    return sale
