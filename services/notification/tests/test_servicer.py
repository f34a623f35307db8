"""What the app shows: one's own notifications alone, newest first, page by page."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import grpc
import pytest
from grpc import aio

from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1.notification_pb2_grpc import (
    NotificationServiceStub,
    add_NotificationServiceServicer_to_server,
)
from petpro_common.ids import new_id
from petpro_common.testing import reason_of, serving
from petpro_notification.servicer import NotificationServicer
from services.notification.tests.conftest import World, confirmed

if TYPE_CHECKING:
    from petpro.notification.v1.notification_pb2_grpc import NotificationServiceAsyncStub

Api: TypeAlias = "NotificationServiceAsyncStub"
SITI, BUDI = new_id(), new_id()


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    def register(server: aio.Server) -> None:
        servicer = NotificationServicer(world.database)  # type: ignore[abstract]  # nobody listens here
        add_NotificationServiceServicer_to_server(servicer, server)

    async with serving("notification", world.keys.verifier(), register) as channel:
        yield NotificationServiceStub(channel)


def signed_in_as(world: World, user_id: UUID, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {world.keys.person(user_id)}"), *more)


async def tell(world: World, user_id: UUID, times: int) -> None:
    for number in range(times):
        await world.tell("booking.confirmed", **confirmed(user_id, new_id(), reference_code=f"PP-{number}"))


async def test_a_person_pages_through_their_own_newest_first(world: World, api: Api) -> None:
    await tell(world, SITI, 5)
    await tell(world, BUDI, 2)
    seen, token = [], ""
    while True:
        request = pb.ListNotificationsRequest(page_size=2, page_token=token)
        page = await api.ListNotifications(request, metadata=signed_in_as(world, SITI))
        seen += list(page.notifications)
        token = page.next_page_token
        if not token:
            break
        assert len(page.notifications) == 2
    assert {told.user_id for told in seen} == {str(SITI)}
    assert [told.content.rsplit(" ", 1)[1] for told in seen] == ["PP-4.", "PP-3.", "PP-2.", "PP-1.", "PP-0."]


async def test_a_page_token_of_another_person_or_list_is_refused(world: World, api: Api) -> None:
    await tell(world, SITI, 2)
    page = await api.ListNotifications(pb.ListNotificationsRequest(page_size=1), metadata=signed_in_as(world, SITI))
    for user_id, unread_only in ((BUDI, False), (SITI, True)):
        request = pb.ListNotificationsRequest(page_token=page.next_page_token, unread_only=unread_only)
        with pytest.raises(aio.AioRpcError) as refused:
            await api.ListNotifications(request, metadata=signed_in_as(world, user_id))
        assert reason_of(refused.value) == "BAD_PAGE_TOKEN"


async def test_reading_again_changes_nothing(world: World, api: Api) -> None:
    await tell(world, SITI, 2)
    listed = await api.ListNotifications(pb.ListNotificationsRequest(), metadata=signed_in_as(world, SITI))
    newest = listed.notifications[0].id
    request = pb.ReadNotificationRequest(notification_id=newest)
    first = await api.ReadNotification(request, metadata=signed_in_as(world, SITI))
    again = await api.ReadNotification(request, metadata=signed_in_as(world, SITI, ("idempotency-key", "tap-2")))
    assert first.notification.is_read
    assert first == again
    unread = await api.ListNotifications(
        pb.ListNotificationsRequest(unread_only=True), metadata=signed_in_as(world, SITI)
    )
    assert newest not in [told.id for told in unread.notifications]
    assert len(unread.notifications) == 1


async def test_somebody_elses_notification_is_not_found(world: World, api: Api) -> None:
    await tell(world, BUDI, 1)
    listed = await api.ListNotifications(pb.ListNotificationsRequest(), metadata=signed_in_as(world, BUDI))
    request = pb.ReadNotificationRequest(notification_id=listed.notifications[0].id)
    with pytest.raises(aio.AioRpcError) as refused:
        await api.ReadNotification(request, metadata=signed_in_as(world, SITI))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(refused.value) == "NOTIFICATION_NOT_FOUND"
    again = await api.ListNotifications(pb.ListNotificationsRequest(), metadata=signed_in_as(world, BUDI))
    assert not again.notifications[0].is_read


async def test_nobody_and_services_have_no_notifications(world: World, api: Api) -> None:
    with pytest.raises(aio.AioRpcError) as nobody:
        await api.ListNotifications(pb.ListNotificationsRequest())
    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
    token = (("authorization", f"Bearer {world.keys.service('booking')}"),)
    with pytest.raises(aio.AioRpcError) as service:
        await api.ListNotifications(pb.ListNotificationsRequest(), metadata=token)
    assert service.value.code() is grpc.StatusCode.PERMISSION_DENIED
