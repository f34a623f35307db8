"""The service as a process, killed again and again while orders come in: everyone is charged once, or not at all."""

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID

import psycopg
from google.protobuf.message import Message
from psycopg.rows import namedtuple_row

from devstack.running import RunningStack
from devstack.testing import Settings, StartStack, surroundings_of
from services.payment.tests.orders import definite_replies, give_orders
from services.payment.tests.provider_list import provider_list
from services.payment.tests.world import WAITING, Sale

QUICK: Settings = {
    "payment": {
        "PETPRO_PAYMENT_POLL_SECONDS": "0.1",
        "PETPRO_PAYMENT_POLL_LIMIT_SECONDS": "0.5",
        "PETPRO_PAYMENT_LEASE_SECONDS": "2",
        "PETPRO_PAYMENT_NOT_FOUND_GRACE_SECONDS": "3",
    }
}
VALUES = ("tok_success", "tok_timeout_then_success", "tok_error_500_once", "tok_declined", "tok_processing:0.5")


async def kill_again_and_again(stack: RunningStack, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.4)
        await stack.kill("payment")
        await asyncio.sleep(0.1)
        await stack.start_part("payment")


async def test_killed_at_any_moment_it_charges_once(start_own_stack: StartStack) -> None:
    stack = start_own_stack(("postgres", "nats", "sandbox", "payment"), QUICK)
    url = surroundings_of(stack).nats.operator_url
    sales = {Sale(): VALUES[number % len(VALUES)] for number in range(40)}
    called_off = list(sales)[::4]
    orders: list[tuple[Message, UUID]] = [(sale.take(value), sale.payment_id) for sale, value in sales.items()]
    orders += [(sale.cancel(), sale.payment_id) for sale in called_off]

    await asyncio.gather(give_orders(url, orders), kill_again_and_again(stack, 3))
    replies = await definite_replies(url, len(orders))
    assert {reply.reason for reply in replies.values()} <= {"", "CARD_DECLINED", "CALLED_OFF"}

    await until_refunds_are_through(stack)
    intents = provider_list(stack, "/v1/payment_intents")
    charged = {UUID(intent["reference"]): intent for intent in intents}
    assert len(charged) == len(intents), "nobody has two payments"
    refunds = Counter(refund["payment_intent"] for refund in provider_list(stack, "/v1/refunds"))
    assert max(refunds.values(), default=0) <= 1
    for row in rows(stack, "SELECT id, status, captured, refund_done FROM payments"):
        intent = charged.get(row.id)
        taken = intent["amount_captured"] if intent else "0.00"
        assert taken == str(row.captured), (row, intent)
        given_back = intent["amount_refunded"] if intent else "0.00"
        assert given_back == str(row.refund_done), (row, intent)
    gone = {sale.payment_id for sale in called_off}
    kept = {row.id for row in rows(stack, "SELECT id FROM payments WHERE captured > refund_done")}
    assert not gone & kept, "what was called off is not kept"


async def until_refunds_are_through(stack: RunningStack) -> None:
    deadline = time.monotonic() + 120
    while rows(stack, WAITING):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def rows(stack: RunningStack, statement: str) -> list[Any]:
    with psycopg.connect(stack.endpoints["services"]["payment"]["dsn"], row_factory=namedtuple_row) as connection:
        return connection.execute(statement).fetchall()
