"""Webhooks over gRPC as the gateway hands them on: forged, stale, doubled, unreadable, about nothing of ours."""

import hmac
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import orjson
import pytest
from grpc import aio
from psycopg import IntegrityError

from devstack.sandbox.testing import WEBHOOK_SECRET
from petpro.payment.v1.payment_pb2 import ReceiveWebhookRequest
from petpro.payment.v1.payment_pb2_grpc import PaymentServiceStub, add_PaymentServiceServicer_to_server
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.messaging.backlog import Backlog
from petpro_common.money import Money
from petpro_common.testing import KeyRing, reason_of, serving
from petpro_payment import webhooks
from petpro_payment.clinics import Clinics
from petpro_payment.domain import PaymentStatus, RefundStatus
from petpro_payment.providers.sandbox import SandboxProvider, sandbox_client
from petpro_payment.servicer import PaymentServicer
from services.payment.tests.world import PRICE, Sale, World

NOWHERE = "http://127.0.0.1:9"


class Post:
    """Sends webhooks as the sandbox would."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def send(self, body: bytes, signature: str | None = None, provider: str = "sandbox") -> None:
        request = ReceiveWebhookRequest(provider=provider)
        request.body.data = body
        metadata = (("sandbox-signature", signed(body) if signature is None else signature),)
        await self._stub.ReceiveWebhook(request, metadata=metadata)

    async def refused(self, body: bytes, signature: str | None = None, provider: str = "sandbox") -> tuple[Any, str]:
        """Status and reason of a webhook that must not get in."""
        with pytest.raises(aio.AioRpcError) as refusal:
            await self.send(body, signature, provider)
        return refusal.value.code(), reason_of(refusal.value)


@pytest.fixture
async def told(pool: Database) -> AsyncIterator[World]:
    """The service over a sandbox that cannot be reached: all it learns, it is told."""
    async with sandbox_client(NOWHERE, "a key", 0.2) as client:
        yield World(pool, {"sandbox": SandboxProvider(client, WEBHOOK_SECRET)}, "sandbox")


@pytest.fixture
async def post(told: World, tmp_path: Path) -> AsyncIterator[Post]:
    async with aio.insecure_channel("127.0.0.1:9") as catalog:
        servicer = PaymentServicer(told.database, told.under_lock, Clinics(told.database, catalog), told.providers)
        async with serving(
            "payment",
            KeyRing(tmp_path).verifier(),
            lambda server: add_PaymentServiceServicer_to_server(servicer, server),
        ) as channel:
            yield Post(PaymentServiceStub(channel))


def signed(body: bytes, *, at: float | None = None, secret: str = WEBHOOK_SECRET) -> str:
    instant = int(time.time() if at is None else at)
    return f"t={instant},v1={hmac.new(secret.encode(), b'%d.' % instant + body, sha256).hexdigest()}"


def about_payment(reference: UUID, status: str, money: Money = PRICE, event_id: str = "") -> bytes:
    taken = status == "succeeded"
    intent = {
        "id": f"pi_{reference}",
        "object": "payment_intent",
        "status": status,
        "amount": str(money.amount),
        "amount_captured": str(money.amount) if taken else "0.00",
        "currency": money.currency,
        "reference": str(reference),
        "next_action": {"type": "show_qris", "qr_string": "a QR"} if status == "requires_action" else None,
        "failure": {"code": "card_declined"} if status == "failed" else None,
        "captured_at": datetime.now(UTC).isoformat() if taken else None,
    }
    event = {"id": event_id or f"evt_{new_id()}", "type": f"payment_intent.{status}", "data": {"object": intent}}
    return orjson.dumps(event)


def about_refund(reference: UUID, status: str) -> bytes:
    failure = {"code": "refund_failed"} if status == "failed" else None
    refund = {"id": f"re_{reference}", "object": "refund", "status": status, "reference": str(reference)}
    about = {**refund, "reason": "the dog is well again", "failure": failure}
    event = {"id": f"evt_{new_id()}", "type": f"refund.{status}", "data": {"object": about}}
    return orjson.dumps(event)


async def asked_once(world: World) -> Sale:
    """A payment that the provider was asked for, without an answer."""
    sale = Sale()
    await world.order(sale.take())
    await world.one_step()
    return sale


async def test_while_the_outbox_is_full_the_provider_is_still_listened_to(post: Post, told: World) -> None:
    sale = await asked_once(told)
    await told.order(sale.take(), attempt=2)  # a copy is told that the payment is pending
    backlog = Backlog(told.database, limit=1)
    await backlog.look()
    assert backlog.is_full
    await post.send(about_payment(sale.payment_id, "succeeded"))
    assert (await told.payment(sale)).status is PaymentStatus.SUCCESS


async def test_forged_and_stale_webhooks_change_nothing(post: Post, told: World) -> None:
    sale = await asked_once(told)
    body = about_payment(sale.payment_id, "succeeded")
    forged = [
        signed(body, secret="another secret"),
        signed(body + b" "),
        signed(body, at=time.time() - 310),
        signed(body, at=time.time() + 310),
        signed(body).replace("v1=", "v1=00"),
        "t=now,v1=abc",
        "t=1",
        "",
    ]
    for signature in forged:
        assert await post.refused(body, signature) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_SIGNATURE")
    assert (await told.payment(sale)).status is PaymentStatus.UNKNOWN
    assert await told.rows("SELECT 1 FROM provider_events WHERE source = 'webhook'") == []


async def test_a_webhook_just_within_its_time_is_taken(post: Post, told: World) -> None:
    sale = await asked_once(told)
    body = about_payment(sale.payment_id, "succeeded")
    await post.send(body, signed(body, at=time.time() - 290))
    assert (await told.payment(sale)).status is PaymentStatus.SUCCESS


async def test_a_copy_changes_nothing(post: Post, told: World) -> None:
    sale = await asked_once(told)
    body = about_payment(sale.payment_id, "succeeded")
    for _ in range(3):
        await post.send(body)
    await post.send(about_payment(sale.payment_id, "succeeded"))
    assert await told.events(sale) == ["payment.captured"]
    kept = await told.rows("SELECT disposition FROM provider_events WHERE source = 'webhook' ORDER BY received_at")
    assert [row.disposition for row in kept] == ["applied", "ignored"]


async def test_a_copy_of_what_is_out_of_date_by_now_changes_nothing(post: Post, told: World) -> None:
    """The customer has had another QR since, and would pay by one that has run out."""
    sale = await asked_once(told)
    first = about_payment(sale.payment_id, "requires_action")
    second = about_payment(sale.payment_id, "requires_action").replace(b"a QR", b"another QR")
    for body in (first, second, first):
        await post.send(body)
    assert (await told.payment(sale)).payment_details == {"customer_action": "another QR"}


@pytest.mark.parametrize("late", ["processing", "failed", "cancelled"])
async def test_what_was_captured_stays_captured_whatever_comes_late(post: Post, told: World, late: str) -> None:
    sale = await asked_once(told)
    await post.send(about_payment(sale.payment_id, "succeeded"))
    await post.send(about_payment(sale.payment_id, late))
    assert (await told.payment(sale)).status is PaymentStatus.SUCCESS


async def test_a_payment_that_failed_and_was_taken_after_all_goes_back(post: Post, told: World) -> None:
    sale = await asked_once(told)
    await post.send(about_payment(sale.payment_id, "failed"))
    assert (await told.payment(sale)).failure_reason == "CARD_DECLINED"
    await post.send(about_payment(sale.payment_id, "succeeded"))
    (refund,) = await told.refunds(sale)
    assert (refund.amount, refund.must_succeed) == (PRICE.amount, True)


@pytest.mark.parametrize("money", [Money(Decimal("2500.00"), "IDR"), Money(PRICE.amount, "USD")])
async def test_another_amount_or_currency_is_quarantined(post: Post, told: World, money: Money) -> None:
    sale = await asked_once(told)
    await post.send(about_payment(sale.payment_id, "succeeded", money))
    paid = await told.payment(sale)
    assert (paid.status, paid.captured) == (PaymentStatus.FAILED, Decimal(0))
    assert await told.refunds(sale) == []
    await post.send(about_payment(sale.payment_id, "succeeded", money))
    (first, again) = await told.rows(
        "SELECT disposition FROM provider_events WHERE source = 'webhook' ORDER BY received_at"
    )
    assert (first.disposition, again.disposition) == ("quarantined", "ignored")


async def test_a_refund_that_is_gone_before_our_own_call_came_back(post: Post, told: World) -> None:
    sale = await asked_once(told)
    await post.send(about_payment(sale.payment_id, "succeeded"))
    for order in (sale.fee(), sale.reserve("1000"), sale.refund_entry(), sale.submit(), sale.settle()):
        await told.order(order)
    await post.send(about_refund(sale.refund_id, "succeeded"))
    await post.send(about_refund(sale.refund_id, "pending"))
    (refund,) = await told.refunds(sale)
    assert refund.status is RefundStatus.SUCCEEDED
    assert [entry.status for entry in await told.entries(sale)] == ["pending", "pending"]


async def test_what_is_not_ours_is_kept_and_does_nothing(post: Post, told: World) -> None:
    await post.send(about_payment(new_id(), "succeeded"))
    await post.send(about_refund(new_id(), "succeeded"))
    await post.send(about_payment(new_id(), "succeeded").replace(b'"reference":"', b'"reference":"order '))
    kept = await told.rows("SELECT disposition FROM provider_events")
    assert [row.disposition for row in kept] == ["unknown"] * 3


async def test_a_provider_is_not_believed_about_what_another_was_asked_for(told: World) -> None:
    sale = await asked_once(told)
    body = about_payment(sale.payment_id, "succeeded")
    others = {"another": told.providers["sandbox"]}
    said = await webhooks.receive(told.under_lock, others, "another", {"sandbox-signature": signed(body)}, body)
    assert said == ["unknown"]
    assert (await told.payment(sale)).status is PaymentStatus.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id": "evt_1"}', b'{"id":"e","type":"t","data":{"object":3}}'])
async def test_what_cannot_be_read_is_refused(post: Post, body: bytes) -> None:
    assert await post.refused(body) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_WEBHOOK")


async def test_an_unknown_provider_is_not_found(post: Post) -> None:
    assert await post.refused(b"{}", provider="lehman") == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")


async def test_what_a_provider_told_us_is_kept_as_it_was(post: Post, told: World) -> None:
    await post.send(about_payment(new_id(), "succeeded"))
    for change in ("UPDATE provider_events SET disposition = 'applied'", "DELETE FROM provider_events"):
        with pytest.raises(IntegrityError, match="kept as it was"):
            await told.run(change)


async def test_of_a_webhook_only_ids_states_and_amounts_are_kept(post: Post, told: World) -> None:
    sale = await asked_once(told)
    await post.send(about_payment(sale.payment_id, "requires_action"))
    await post.send(about_refund(new_id(), "succeeded"))
    assert (await told.payment(sale)).payment_details == {"customer_action": "a QR"}
    kept = await told.rows("SELECT payload FROM provider_events WHERE source = 'webhook' ORDER BY received_at")
    assert [row.payload["object"].keys() for row in kept] == [{"id", "object", "status", "amount", "currency"}] * 2
