"""Who may listen, how many and for how long; and what is left of a stream when it ends."""

import asyncio

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.notification.v1 import notification_pb2 as pb
from petpro_common import telemetry
from petpro_common.ids import new_id
from petpro_common.testing import eventually, reason_of
from petpro_notification.consumer import on_user_erased
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.replicas import Client, listen, listening, replica

SITI, BUDI = new_id(), new_id()


async def refusal(client: Client) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await client.until_end()
    return refused.value.code(), reason_of(refused.value)


async def test_nobody_and_services_cannot_listen_nor_can_who_has_anothers_notification(world: World) -> None:
    await world.tell("booking.confirmed", **confirmed(BUDI, new_id()))
    of_budi = str((await world.rows("SELECT id FROM notifications"))[0].id)
    async with replica(world) as here:
        nobody = Client(here.api.StreamNotifications(pb.StreamNotificationsRequest()))
        token = (("authorization", f"Bearer {world.keys.service('booking')}"),)
        service = Client(here.api.StreamNotifications(pb.StreamNotificationsRequest(), metadata=token))
        assert await refusal(nobody) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
        assert await refusal(service) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
        malformed = await refusal(listen(world, here.api, SITI, "yesterday"))
        assert malformed == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        for unknown in (of_budi, str(new_id())):
            refused = await refusal(listen(world, here.api, SITI, unknown))
            assert refused == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")


async def test_heartbeats_come_while_nothing_is_told(world: World) -> None:
    async with replica(world, stream_heartbeat_seconds=0.05) as here:
        siti = await listening(world, here.api, SITI)
        for _ in range(3):
            await siti.until_heartbeat()
        assert siti.heard == []


async def test_a_person_has_so_many_streams_and_a_replica_too(world: World) -> None:
    async with replica(world, most_streams=3, stream_most_per_person=2) as here:
        first, second = [await listening(world, here.api, SITI) for _ in range(2)]
        too_many = await refusal(listen(world, here.api, SITI))
        assert too_many == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        budi = await listening(world, here.api, BUDI)
        assert await refusal(listen(world, here.api, BUDI)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert here.edge.calls.in_hand == 0
        metadata = (("authorization", f"Bearer {world.keys.person(SITI)}"),)
        await here.api.ListNotifications(pb.ListNotificationsRequest(), metadata=metadata)
        first.call.cancel()
        await eventually(lambda: here.edge.streams.in_hand == 2)
        again = await listening(world, here.api, SITI)
        assert not any(client.call.done() for client in (second, budi, again))


async def test_it_ends_by_itself_before_anything_cuts_it_off(world: World) -> None:
    async with replica(world, stream_longest_seconds=0.2) as here:
        assert await listen(world, here.api, SITI).until_end() == "COME_BACK"
    async with replica(world) as here:
        metadata = (("authorization", f"Bearer {world.keys.person(SITI)}"),)
        with_deadline = here.api.StreamNotifications(pb.StreamNotificationsRequest(), metadata=metadata, timeout=4)
        assert await Client(with_deadline).until_end() == "COME_BACK"


async def test_it_ends_when_the_token_runs_out(world: World) -> None:
    async with replica(world) as here:
        siti = listen(world, here.api, SITI, seconds=4)
        assert await siti.until_end() == "TOKEN_EXPIRES"
        assert siti.heartbeats == 1


async def test_when_the_service_drains_streams_end_at_once_and_none_begin(world: World) -> None:
    async with replica(world) as here:
        clients = await asyncio.gather(*(listening(world, here.api, new_id()) for _ in range(20)))
        here.streams.close()
        late = listen(world, here.api, SITI)
        async with asyncio.timeout(60):
            await here.server.stop(3600)
        assert {await client.until_end() for client in clients} == {"COME_BACK"}
        # gRPC itself says CANCELLED to a call that comes while its server stops.
        assert (await refusal(late))[0] in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_who_is_erased_hears_no_more_at_any_replica(world: World) -> None:
    async with replica(world) as here, replica(world) as there:
        gone = [await listening(world, each.api, SITI) for each in (here, there)]
        stays = await listening(world, there.api, BUDI)
        async with here.database.transaction() as tx:
            await on_user_erased(tx, {"event_type": "user.erased", "user_id": str(SITI), "version": 3})
        assert [await client.until_end() for client in gone] == ["ACCOUNT_ERASED"] * 2
        assert await listen(world, there.api, SITI).until_end() == "ACCOUNT_ERASED"
        assert not stays.call.done()


async def test_a_storm_of_clients_that_hang_up_leaves_nothing_behind(world: World) -> None:
    await world.tell("booking.confirmed", **confirmed(SITI, new_id()))
    last = str((await world.rows("SELECT id FROM notifications"))[0].id)
    async with replica(world, stream_heartbeat_seconds=0.01, stream_most_per_person=1000) as here:
        clients = [listen(world, here.api, *who) for _ in range(100) for who in ((SITI, last), (new_id(), ""))]
        for number, client in enumerate(clients):
            if number % 3:
                await client.hear()
            client.call.cancel()
        await eventually(lambda: here.edge.streams.in_hand == 0)
        assert here.streams._of == {}
        await eventually(lambda: here.database.pool.in_use == 0)
        assert here.database.pool.idle > 0
        siti = await listening(world, here.api, SITI)
        async with here.database.transaction() as tx:
            await tx.execute(text("SELECT 1"))
        siti.call.cancel()
        await eventually(lambda: here.edge.streams.in_hand == 0)


async def test_a_stream_holds_no_connection_while_it_waits(world: World) -> None:
    async with replica(world) as here:
        clients = await asyncio.gather(*(listening(world, here.api, new_id()) for _ in range(50)))
        await eventually(lambda: here.database.pool.in_use == 0)
        assert len(clients) == here.edge.streams.in_hand == 50


async def test_how_long_streams_were_open_is_measured_apart_from_calls(world: World) -> None:
    method = "/petpro.notification.v1.NotificationService/StreamNotifications"

    def counted(code: str) -> float:
        samples = (each for metric in telemetry.STREAM_SECONDS.collect() for each in metric.samples)
        labels = {"method": method, "code": code}
        return sum(each.value for each in samples if each.name.endswith("_count") and each.labels == labels)

    before = {code: counted(code) for code in ("OK", "CANCELLED")}
    async with replica(world) as here:
        (await listening(world, here.api, SITI)).call.cancel()
        await eventually(lambda: counted("CANCELLED") == before["CANCELLED"] + 1)
        (await listening(world, here.api, SITI)).call.cancel()
        assert await listen(world, here.api, SITI, seconds=4).until_end() == "TOKEN_EXPIRES"
        await eventually(lambda: counted("OK") == before["OK"] + 1)
