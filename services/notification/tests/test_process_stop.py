"""The service as a process that is told to stop, as by a rolling update, while Twilio has an SMS in hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from devstack.ports import free_port
from devstack.running import RunningStack
from devstack.testing import StartStack
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.notification.tests.conftest import confirmed
from services.notification.tests.fake_twilio import ACCOUNT, FROM, KEY, KEY_SID, FakeTwilio
from services.notification.tests.loopback import serving
from services.notification.tests.test_process import publish, register
from services.notification.tests.test_process_sms import wants_sms_alone

PORT = free_port()
TWILIO = {
    "SMS": "twilio",
    "TWILIO_URL": f"http://127.0.0.1:{PORT}",
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_KEY_SID": KEY_SID,
    "TWILIO_KEY": KEY,
    "TWILIO_FROM": FROM,
}
STOP_SECONDS, LEASE_SECONDS = 6, 10


@pytest.fixture(scope="module")
def stack(start_own_stack: StartStack) -> RunningStack:
    told = {"STOP_SECONDS": STOP_SECONDS, "DELIVERY_TRY_SECONDS": 9, "DELIVERY_LEASE_SECONDS": LEASE_SECONDS, **TWILIO}
    settings = {"notification": {f"PETPRO_NOTIFICATION_{name}": str(value) for name, value in told.items()}}
    return start_own_stack(["postgres", "nats", "mail", "account", "notification"], settings)


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    """It has taken nothing yet, and keeps who asks waiting."""
    twilio = FakeTwilio(holds_its_answer=True)
    async with serving(*twilio.routes(), port=PORT):
        yield twilio


async def has_one_sms_in_hand(stack: RunningStack, twilio: FakeTwilio, email: str) -> None:
    person, token = await register(stack, email)
    await wants_sms_alone(stack, token)
    await publish(stack, confirmed(UUID(person.id), new_id()), count=1)
    await twilio.arrived.wait()


def newest_sms(stack: RunningStack) -> Any:
    with psycopg.connect(stack.endpoints["services"]["notification"]["dsn"], row_factory=namedtuple_row) as connection:
        return connection.execute(
            "SELECT status, tries, due_at <= now() AS is_due FROM deliveries WHERE channel = 'sms' ORDER BY id DESC"
        ).fetchone()


async def test_an_sms_that_twilio_takes_slowly_goes_once_and_counts_as_sent(
    stack: RunningStack, twilio: FakeTwilio
) -> None:
    await has_one_sms_in_hand(stack, twilio, "sari@petpro.example")
    stopping = asyncio.create_task(stack.stop_part("notification"))
    await eventually(lambda: '"event":"draining"' in stack.log("notification"))
    await asyncio.sleep(1)
    assert not stopping.done()
    twilio.may_answer.set()
    await stopping
    assert tuple(newest_sms(stack))[:2] == ("sent", 1)
    await stack.start_part("notification")
    await asyncio.sleep(2)
    assert len(twilio.taken) == 1


async def test_a_twilio_that_hangs_keeps_nobody_from_ending_in_time(stack: RunningStack, twilio: FakeTwilio) -> None:
    await has_one_sms_in_hand(stack, twilio, "dewi@petpro.example")
    began = time.monotonic()
    await stack.stop_part("notification")
    assert STOP_SECONDS - 1 < time.monotonic() - began < STOP_SECONDS + 8
    assert "stopped before all in hand had ended" in stack.log("notification")
    left = newest_sms(stack)
    assert (left.status, left.tries) == ("pending", 1), "nobody knows whether it has gone"
    twilio.may_answer.set()
    await stack.start_part("notification")

    def is_sent() -> bool:
        return tuple(newest_sms(stack))[:2] == ("sent", 2)

    await eventually(is_sent)
