"""The connection to NATS, when the server itself ends it."""

from devstack import testing
from petpro_common.messaging.broker import Broker
from petpro_common.testing.running import eventually, running

TOO_MUCH = b"PUB petpro.events.booking.confirmed 2000000\r\n"


async def test_a_connection_that_the_server_ends_with_an_error_is_made_again(nats: testing.Broker) -> None:
    broker = Broker("booking", nats.url, nats.passwords["booking"])
    async with running(broker.run()):
        await broker.until_connected()
        ended = broker.client
        ended._transport.write(TOO_MUCH)  # type: ignore[union-attr]  # the client itself would not try
        await eventually(lambda: ended.is_closed)
        await eventually(lambda: broker.is_connected)
        assert (await broker.jetstream.stream_info("PETPRO_EVENTS")).config.name == "PETPRO_EVENTS"
    await broker.close()
