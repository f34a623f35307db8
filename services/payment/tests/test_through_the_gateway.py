"""Webhooks as they really come: from the sandbox, over HTTP, through the gateway, to a service that does not ask."""

from devstack.testing import Settings, StartStack, surroundings_of
from services.payment.tests.orders import definite_replies, give_orders
from services.payment.tests.provider_list import provider_list
from services.payment.tests.world import SUCCEEDED, Sale

PATIENT: Settings = {
    "payment": {"PETPRO_PAYMENT_POLL_SECONDS": "300", "PETPRO_PAYMENT_POLL_LIMIT_SECONDS": "300"},
}
PARTS = ("postgres", "nats", "sandbox", "account", "payment", "gateway")


async def test_a_payment_is_taken_and_given_back_by_webhooks_alone(start_own_stack: StartStack) -> None:
    stack = start_own_stack(PARTS, PATIENT)
    url, sale = surroundings_of(stack).nats.operator_url, Sale()
    orders = [(sale.take("tok_processing:0.3"), sale.payment_id)]
    await give_orders(url, orders)
    await definite_replies(url, 1)
    rest = [sale.fee(), sale.reserve("250000"), sale.refund_entry(), sale.submit(), sale.settle()]
    await give_orders(url, [(order, sale.payment_id) for order in rest])
    replies = await definite_replies(url, 6)
    assert {reply.outcome for reply in replies.values()} == {SUCCEEDED}
    (intent,) = provider_list(stack, "/v1/payment_intents")
    assert intent["amount_refunded"] == "250000.00"
    assert "BAD_SIGNATURE" not in stack.log("payment")
