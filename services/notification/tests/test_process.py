"""The service as a process of its own, with account, a database, a broker and a mail server; killed while at work."""

import sys
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import UUID

import nats as nats_client
import orjson
import psycopg
import pytest
from grpc import aio

from devstack.layout import Layout
from devstack.running import RunningStack
from devstack.testing import StartStack, surroundings_of
from petpro.account.v1 import account_pb2
from petpro.account.v1.account_pb2_grpc import AccountServiceStub
from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1.notification_pb2_grpc import NotificationServiceStub
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.notification.tests.conftest import confirmed

BOOKINGS, LAST_MAIL = 60, 20
DIES = ("PETPRO_NOTIFICATION_KILL_AT=after call delivery", f"PETPRO_NOTIFICATION_KILL_ON={LAST_MAIL}")
"""After that mail, of which it has not yet written that it is sent."""

MAILED = """
    SELECT FROM deliveries JOIN notifications AS n ON n.id = notification_id
    WHERE n.type = 'email_verification' AND status = 'sent' AND user_id = %s
"""
STOPPED = '"event":"stopped"'


@pytest.fixture(scope="module")
def stack_of_two(start_own_stack: StartStack) -> RunningStack:
    told = {"DELIVERY_LEASE_SECONDS": "5", "DELIVERY_TRY_SECONDS": "4", "DRAIN_SECONDS": "3600"}
    settings = {"notification": {f"PETPRO_NOTIFICATION_{name}": value for name, value in told.items()}}
    return start_own_stack(["postgres", "nats", "mail", "account", "notification"], settings)


async def register(stack: RunningStack, email: str = "sari@petpro.example") -> tuple[account_pb2.User, str]:
    """A person who has the mail by which they verify their address, and the token with which they are signed in."""
    sari = account_pb2.CreateUserRequest(
        email=email, password="a long enough one", full_name="Sari Dewi", phone_number="+628123456789"
    )
    async with aio.insecure_channel(stack.endpoints["services"]["account"]["grpc"]) as channel:
        accounts = AccountServiceStub(channel)
        user = (await accounts.CreateUser(sari)).user
        sign_in = account_pb2.CreateTokenRequest(email=sari.email, password=sari.password)
        token = (await accounts.CreateToken(sign_in)).tokens.access_token
    dsn = stack.endpoints["services"]["notification"]["dsn"]

    async def is_mailed() -> bool:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            return (await (await connection.execute(MAILED, [user.id])).fetchone()) is not None

    await eventually(is_mailed)
    return user, token


async def publish(stack: RunningStack, fields: dict[str, str], count: int = BOOKINGS) -> None:
    connection = await nats_client.connect(surroundings_of(stack).nats.operator_url)
    for number in range(count):
        event = {"event_type": "booking.confirmed", **fields, "booking_id": str(new_id())}
        event["reference_code"] = f"PP-{number:04}"
        headers = {"ce-id": str(new_id()), "ce-type": event["event_type"], "ce-subject": event["booking_id"]}
        await connection.jetstream().publish("petpro.events.booking.confirmed", orjson.dumps(event), headers=headers)
    await connection.close()


def mails(folder: Path) -> dict[str, set[str]]:
    """The Message-IDs under which each reference code was mailed to Sari."""
    found: dict[str, set[str]] = {}
    for file in folder.glob("*.eml"):
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        if mail["To"] != "sari@petpro.example" or "confirmed" not in mail["Subject"]:
            continue
        body = mail.get_body(("plain",))
        assert body is not None
        code = body.get_content().split("reference code: ")[1][:7]
        found.setdefault(code, set()).add(mail["Message-ID"])
    return found


async def test_killed_while_it_sends_it_tells_everything_once_and_loses_no_mail(stack_of_two: RunningStack) -> None:
    sari, token = await register(stack_of_two)
    folder = Layout(stack_of_two.run).mail
    await stack_of_two.stop_part("notification")
    await stack_of_two.start_part("notification", ["env", *DIES, sys.executable, "-m", "petpro_notification"])
    await publish(stack_of_two, confirmed(UUID(sari.id), new_id()))
    await eventually(lambda: stack_of_two.state("notification") == "failed")
    assert LAST_MAIL <= len(mails(folder)) < BOOKINGS
    await stack_of_two.start_part("notification")
    # What the dead process had in hand comes again: messages after the broker's 30 s, mails after their lease.
    await eventually(lambda: len(mails(folder)) == BOOKINGS, seconds=150)
    assert {len(ids) for ids in mails(folder).values()} == {1}
    async with aio.insecure_channel(stack_of_two.endpoints["services"]["notification"]["grpc"]) as channel:
        listed = await NotificationServiceStub(channel).ListNotifications(
            pb.ListNotificationsRequest(page_size=100), metadata=(("authorization", f"Bearer {token}"),)
        )
    told = [each.content for each in listed.notifications if each.type == "booking_confirmed"]
    assert sorted(content.split("reference code: ")[1][:7] for content in told) == [
        f"PP-{number:04}" for number in range(BOOKINGS)
    ]


async def test_when_it_is_told_to_stop_it_waits_for_no_stream(stack_of_two: RunningStack) -> None:
    _, token = await register(stack_of_two, "dewi@petpro.example")
    metadata = (("authorization", f"Bearer {token}"),)
    before = stack_of_two.log("notification").count(STOPPED)
    async with aio.insecure_channel(stack_of_two.endpoints["services"]["notification"]["grpc"]) as channel:
        call: Any = NotificationServiceStub(channel).StreamNotifications(
            pb.StreamNotificationsRequest(), metadata=metadata
        )
        assert (await call.read()).HasField("heartbeat")
        await stack_of_two.stop_part("notification")
        assert (await call.read()).end.reason == pb.STREAM_END_REASON_COME_BACK
        assert await call.read() is aio.EOF
    assert stack_of_two.log("notification").count(STOPPED) == before + 1
    await stack_of_two.start_part("notification")
