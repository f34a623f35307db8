"""The service as a process of its own that sends SMS; killed after Twilio has taken one."""

import sys
from collections import Counter
from uuid import UUID

import pytest
from grpc import aio

from devstack.ports import free_port
from devstack.running import RunningStack
from devstack.testing import StartStack
from petpro.account.v1 import account_pb2
from petpro.account.v1.account_pb2_grpc import AccountServiceStub
from petpro_common.ids import new_id
from petpro_common.testing import eventually
from services.notification.tests.conftest import confirmed
from services.notification.tests.fake_twilio import ACCOUNT, FROM, KEY, KEY_SID, FakeTwilio
from services.notification.tests.loopback import serving
from services.notification.tests.test_process import BOOKINGS, publish, register

LAST_SMS, AT_ONCE = 20, 16
DIES = ("PETPRO_NOTIFICATION_KILL_AT=after call delivery", f"PETPRO_NOTIFICATION_KILL_ON={LAST_SMS}")
PORT = free_port()
TWILIO = {
    "SMS": "twilio",
    "TWILIO_URL": f"http://127.0.0.1:{PORT}",
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_KEY_SID": KEY_SID,
    "TWILIO_KEY": KEY,
    "TWILIO_FROM": FROM,
}


@pytest.fixture(scope="module")
def stack_of_sms(start_own_stack: StartStack) -> RunningStack:
    told = {"DELIVERY_LEASE_SECONDS": "5", "DELIVERY_TRY_SECONDS": "4", **TWILIO}
    settings = {"notification": {f"PETPRO_NOTIFICATION_{name}": value for name, value in told.items()}}
    return start_own_stack(["postgres", "nats", "mail", "account", "notification"], settings)


async def wants_sms_alone(stack: RunningStack, token: str) -> None:
    prefs = account_pb2.NotificationPrefs(sms=True)
    request = account_pb2.UpdateCurrentUserRequest(user=account_pb2.User(notification_prefs=prefs))
    request.update_mask.paths.append("notification_prefs")
    async with aio.insecure_channel(stack.endpoints["services"]["account"]["grpc"]) as channel:
        await AccountServiceStub(channel).UpdateCurrentUser(request, metadata=(("authorization", f"Bearer {token}"),))


async def test_killed_while_it_sends_it_tells_everything_and_repeats_only_what_was_in_hand(
    stack_of_sms: RunningStack,
) -> None:
    def told() -> Counter[str]:
        return Counter(form["Body"].split("reference code: ")[1][:7] for form in twilio.taken)

    twilio = FakeTwilio()
    sari, token = await register(stack_of_sms)
    await wants_sms_alone(stack_of_sms, token)
    async with serving(*twilio.routes(), port=PORT):
        await stack_of_sms.stop_part("notification")
        await stack_of_sms.start_part("notification", ["env", *DIES, sys.executable, "-m", "petpro_notification"])
        await publish(stack_of_sms, confirmed(UUID(sari.id), new_id()))
        await eventually(lambda: stack_of_sms.state("notification") == "failed")
        assert LAST_SMS <= len(told()) < BOOKINGS
        await stack_of_sms.start_part("notification")
        await eventually(lambda: len(told()) == BOOKINGS, seconds=150)
    assert {form["To"] for form in twilio.taken} == {"+628123456789"}
    assert 1 <= len(twilio.taken) - BOOKINGS <= AT_ONCE, "of what was in hand some had been taken"
