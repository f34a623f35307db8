"""A saga whose command is given up: it is not answered, asks again, and goes on when that can be carried out."""

from datetime import timedelta
from typing import Any

import nats as nats_client

from devstack import testing
from libs.common.tests.messaging.desk import have_everything_delivered_again
from libs.common.tests.saga.refund_desk import PIVOT, SEND, Desk, open_desk
from petpro_common.messaging import discards, parked
from petpro_common.messaging.consumer import Unprocessable
from petpro_common.saga import Local, Saga, Step, StepKind
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually

IMPATIENT = Saga(
    "refund",
    1,
    (
        Step("ask", StepKind.COMPENSATABLE, Local("ask"), undo=Local("take_back")),
        Step("send", PIVOT, SEND, patience=timedelta(seconds=0.3)),
        Step("cancel", StepKind.RETRIABLE, Local("cancel")),
    ),
)


class Lasting(dict[str, Exception]):
    """Faults that come again each time."""

    def pop(self, name: str, default: Any = None) -> Any:
        return self.get(name, default)


async def test_each_question_of_a_saga_is_a_message_and_a_later_one_is_answered(
    database_of: MakeDatabase, broker_of: MakeBroker, nats: testing.Broker
) -> None:
    async with open_desk(database_of, broker_of, IMPATIENT) as desk:
        desk.faults = Lasting(SubmitRefund=Unprocessable("no such currency"))
        saga_id = await desk.start()
        first, *_ = await _parked(desk, at_least=2)
        assert first == f"{saga_id}:send:forward:1"
        await _discard_all(desk)
        assert await desk.sent(desk.paying) == []
        assert (await desk.state(saga_id)).status == "running"

        await _parked(desk, at_least=1)
        await _discard_all(desk)
        desk.faults.clear()
        await desk.until(saga_id, status="completed")
        given_up = await desk.rows(desk.paying, "SELECT message_id FROM message_redrives ORDER BY id")
        assert len(given_up) == len({row.message_id for row in given_up}) >= 3
        assert len(await desk.asked()) == 1

        await have_everything_delivered_again(nats, "PETPRO_COMMANDS", "payment")
        await eventually(lambda: _is_acknowledged(nats))
        assert len(await desk.asked()) == 1
        assert await desk.rows(desk.paying, "SELECT 1 FROM message_redrives WHERE outcome <> 'discarded'") == []


async def _parked(desk: Desk, at_least: int) -> list[str]:
    async def are_there() -> bool:
        return len(await desk.rows(desk.paying, "SELECT 1 FROM parked_messages")) >= at_least

    await eventually(are_there)
    return [
        row.message_id for row in await desk.rows(desk.paying, "SELECT message_id FROM parked_messages ORDER BY id")
    ]


async def _discard_all(desk: Desk) -> None:
    async with desk.paying.transaction() as tx:
        numbers = [row.id for row in await parked.page(tx, parked.Filters(), 0, 100)]
        await discards.discard(tx, await parked.hold(tx, numbers), "sari", "no such currency will ever be")


async def _is_acknowledged(nats: testing.Broker) -> bool:
    connection = await nats_client.connect(nats.operator_url)
    try:
        info = await connection.jetstream().consumer_info("PETPRO_COMMANDS", "payment")
    except nats_client.js.errors.NotFoundError:
        return False
    finally:
        await connection.close()
    is_delivered = info.delivered is not None and info.delivered.stream_seq > 0
    return is_delivered and info.num_pending == 0 and info.num_ack_pending == 0
