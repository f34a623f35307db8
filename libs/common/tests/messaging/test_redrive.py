"""Parked messages: what an administrator sees of them, and that a redrive takes effect once, from Postgres alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as ProtoAny

from devstack import testing
from libs.common.tests.messaging.desk import (
    CLINIC,
    FAILED,
    FORESEEN,
    HANDLED,
    SARI,
    SECRET,
    Desk,
    have_everything_delivered_again,
    is_acknowledged,
    is_parked,
    opened,
    park,
    redrive,
    refusal,
    shown,
)
from petpro.messaging.v1 import messages_pb2
from petpro.payment.v1 import commands_pb2
from petpro.saga.v1 import saga_pb2
from petpro_common.context import Role
from petpro_common.db import Transaction
from petpro_common.ids import new_id
from petpro_common.messaging import consumer, parked
from petpro_common.messaging.broker import Broker
from petpro_common.messaging.outbox import add_event
from petpro_common.messaging.participant import Answer, Succeeded, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.testing import KeyRing
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running


@pytest.fixture
async def desk(database_of: MakeDatabase, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(await database_of("booking"), KeyRing(tmp_path)) as made:
        yield made


async def test_a_message_is_handled_without_the_broker_and_what_was_done_is_kept(desk: Desk) -> None:
    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    assert await redrive(desk, stub, id=number, dry_run=True) == [(number, FORESEEN)]
    assert await desk.rows("SELECT 1 FROM heard UNION ALL SELECT 1 FROM message_redrives") == []

    assert await redrive(desk, stub, id=number) == [(number, HANDLED)]
    assert await desk.rows("SELECT version FROM heard") == [(1,)]
    kept = await desk.rows("SELECT message_id, operator, reason, outcome, error_before FROM message_redrives")
    assert kept == [("clinic 1", str(SARI), "the kennel is larger now", "handled", "KennelFull")]
    assert await desk.rows("SELECT 1 FROM parked_messages") == []
    assert await refusal(shown(desk, stub, number)) == "PARKED_MESSAGE_NOT_FOUND"
    assert await refusal(redrive(desk, stub, id=number)) == "PARKED_MESSAGE_NOT_FOUND"


@pytest.mark.parametrize(
    ("fault", "note", "error"),
    [
        (ValueError(f"{SECRET} is no token"), "", "ValueError in handle (events.py:"),
        (consumer.Unprocessable("not one of ours"), "", "Unprocessable: not one of ours"),
        (None, SECRET, "CheckViolation notes_are_short in handle (events.py:"),
    ],
)
async def test_what_fails_again_stays_parked_and_its_error_quotes_nobody(
    desk: Desk, fault: Exception | None, note: str, error: str
) -> None:
    desk.fault = fault
    stub, number = await desk.served(desk.consumer()), await desk.park(1, note=note)
    assert await redrive(desk, stub, id=number) == [(number, FAILED)]
    message = await shown(desk, stub, number)
    assert message.error.startswith(error)
    assert (message.tries, message.redrive_count) == (12, 1)
    (told,) = message.redrives
    assert (told.operator, told.outcome, told.error) == (str(SARI), FAILED, message.error)
    assert SECRET not in str(message)
    assert await desk.rows("SELECT 1 FROM heard") == []


async def test_two_redrives_and_the_brokers_own_redelivery_take_effect_once(
    desk: Desk,
    database_of: MakeDatabase,
    broker_of: MakeBroker,
    nats: testing.Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "MAX_TRIES", 1)
    catalog, broker = await database_of("catalog"), await broker_of("booking")
    desk.fault = ValueError("the kennel is full")
    async with running(Relay(catalog, await broker_of("catalog")).run()):
        async with running(desk.consumer(broker).run()):
            async with catalog.transaction() as tx:
                add_event(tx, "catalog", "clinic.changed", CLINIC, {"version": 7})
            await eventually(lambda: is_parked(desk))
        desk.fault = None
        desk.at_work.clear()
        desk.may_go_on.clear()
        replicas = [await desk.served(desk.consumer()) for _ in range(2)]
        redrives = asyncio.gather(*(redrive(desk, replica) for replica in replicas))
        await desk.at_work.wait()
        await have_everything_delivered_again(nats)
        async with running(desk.consumer(broker).run()):
            await asyncio.sleep(0.5)
            desk.may_go_on.set()
            await redrives
            await eventually(lambda: is_acknowledged(broker))
    assert await desk.rows("SELECT version FROM heard") == [(7,)]
    assert await desk.rows("SELECT 1 FROM parked_messages") == []
    assert await desk.rows("SELECT DISTINCT outcome FROM message_redrives") == [("handled",)]


async def test_a_redrive_that_is_cut_off_after_its_effects_is_finished_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_killed(*_: Any) -> None:
        raise RuntimeError("killed")

    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    with monkeypatch.context() as patch:
        patch.setattr(parked, "end", be_killed)
        assert await refusal(redrive(desk, stub, id=number)) == "INTERNAL"
    message = await shown(desk, stub, number)
    assert [each.outcome for each in message.redrives] == [messages_pb2.REDRIVE_OUTCOME_BEGUN]
    assert await redrive(desk, stub, id=number) == [(number, HANDLED)]
    assert await desk.rows("SELECT version FROM heard") == [(1,)]


async def test_a_redrive_that_is_cut_off_before_its_effects_leaves_the_message_parked(desk: Desk) -> None:
    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    desk.may_go_on.clear()
    request = messages_pb2.RedriveParkedMessagesRequest(service="booking", id=number, reason="the kennel is larger")
    redriving = stub.RedriveParkedMessages(request, metadata=desk.signed_in())
    await desk.at_work.wait()
    redriving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await redriving
    await desk.is_cut_off.wait()
    desk.may_go_on.set()
    assert await redrive(desk, stub, id=number) == [(number, HANDLED)]
    assert await desk.rows("SELECT version FROM heard") == [(1,)]


async def test_messages_of_one_aggregate_are_redriven_one_after_the_other(desk: Desk) -> None:
    stub = await desk.served(desk.consumer())
    first, second = await desk.park(1), await desk.park(2)
    desk.may_go_on.clear()
    slow = asyncio.ensure_future(redrive(desk, stub, id=first))
    await desk.at_work.wait()
    desk.at_work.clear()
    waiting = asyncio.ensure_future(redrive(desk, stub, id=second))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await desk.at_work.wait()
    desk.may_go_on.set()
    assert await slow + await waiting == [(first, HANDLED), (second, HANDLED)]


async def test_a_command_shows_no_secret_and_is_answered_once(desk: Desk) -> None:
    async def take(tx: Transaction, command_id: str, order: commands_pb2.TakePayment) -> Answer:
        assert order.payment_token == SECRET
        return Succeeded()

    payload = ProtoAny()
    payload.Pack(commands_pb2.TakePayment(payment_token=SECRET))
    saga_id = str(new_id())
    command = saga_pb2.Command(
        command_id=f"{saga_id}:pay",
        saga_id=saga_id,
        step="pay",
        direction=saga_pb2.DIRECTION_FORWARD,
        reply_to="petpro.replies.checkout",
        payload=payload,
    )
    broker = Broker("booking", "nats://127.0.0.1:1", "")
    stub = await desk.served(command_consumer(desk.database, broker, {commands_pb2.TakePayment: take}))
    subject = "petpro.commands.booking.take_payment"
    number = await park(desk.database, subject, "take", command.SerializeToString())
    message = await shown(desk, stub, number)
    assert SECRET not in str(message)
    assert message.facts["saga_id"] == saga_id
    assert (message.facts["step"], message.facts["direction"]) == ("pay", "forward")
    assert message.facts["type"] == "petpro.payment.v1.TakePayment"
    assert await redrive(desk, stub, subject="petpro.commands.") == [(number, HANDLED)]
    again = await park(desk.database, subject, "take", command.SerializeToString())
    assert await redrive(desk, stub, id=again) == [(again, HANDLED)]
    assert len(await desk.rows("SELECT 1 FROM outbox WHERE subject = 'petpro.replies.checkout'")) == 1


async def test_of_an_event_ids_are_shown_and_no_secret_that_is_called_one(desk: Desk) -> None:
    """By its lock_id a customer's hold can be taken over."""
    stub, number = await desk.served(), await desk.park(1, lock_id=SECRET)
    message = await shown(desk, stub, number)
    assert message.facts["clinic_id"] == str(CLINIC)
    assert SECRET not in str(message)


async def test_messages_are_found_by_filter_page_by_page_and_redriven_oldest_first(desk: Desk) -> None:
    stub = await desk.served(desk.consumer())
    numbers = [await desk.park(version) for version in range(5)]
    other = await desk.park(9, subject="petpro.replies.checkout")
    assert await listed(desk, stub, page_size=2) == [numbers[:2], numbers[2:4], [numbers[4], other]]
    assert await listed(desk, stub, subject="petpro.events.") == [numbers]
    assert await listed(desk, stub, subject="petpro.events") == [[]]
    assert await listed(desk, stub, error="kennelf", subject="petpro.replies.checkout") == [[other]]
    assert await listed(desk, stub, min_age_seconds=60) == [[]]
    first = await redrive(desk, stub, subject="petpro.events.clinic.changed", limit=3)
    assert first == [(number, HANDLED) for number in numbers[:3]]
    assert await redrive(desk, stub) == [*((number, HANDLED) for number in numbers[3:]), (other, FAILED)]
    assert (await shown(desk, stub, other)).error == "No consumer of this service takes this subject"


async def listed(desk: Desk, stub: Any, **filters: Any) -> list[list[int]]:
    pages, token = [], "first"
    while token:
        asked = messages_pb2.ListParkedMessagesRequest(service="booking", **filters)
        asked.page_token = token.removeprefix("first")
        reply = await stub.ListParkedMessages(asked, metadata=desk.signed_in())
        pages.append([message.id for message in reply.messages])
        token = reply.next_page_token
    return pages


@pytest.mark.parametrize(
    "call",
    [
        lambda stub: (stub.ListParkedMessages, messages_pb2.ListParkedMessagesRequest(service="booking")),
        lambda stub: (stub.GetParkedMessage, messages_pb2.GetParkedMessageRequest(service="booking", id=1)),
        lambda stub: (
            stub.RedriveParkedMessages,
            messages_pb2.RedriveParkedMessagesRequest(service="booking", reason="because"),
        ),
        lambda stub: (
            stub.DiscardParkedMessages,
            messages_pb2.DiscardParkedMessagesRequest(service="booking", id=1, reason="because"),
        ),
    ],
)
async def test_only_administrators_and_only_of_the_service_itself(
    desk: Desk, call: Callable[[Any], tuple[Any, Any]]
) -> None:
    method, request = call(await desk.served(desk.consumer()))
    await desk.park(1)
    for role in (Role.CUSTOMER, Role.CLINIC):
        assert await refusal(method(request, metadata=desk.signed_in(role))) == "FORBIDDEN"
    assert await refusal(method(request)) == "UNAUTHENTICATED"
    request.service = "payment"
    assert await refusal(method(request, metadata=desk.signed_in())) == "INVALID_REQUEST"
    assert await desk.rows("SELECT 1 FROM heard UNION ALL SELECT 1 FROM message_redrives") == []
