"""NotificationService: what a person was told, and marking it as read."""

from typing import Any
from uuid import UUID

from grpc import aio

from petpro.notification.v1 import notification_pb2 as pb
from petpro.notification.v1 import notification_pb2_grpc
from petpro_common import pages
from petpro_common.context import signed_in
from petpro_common.db import Database, Row, Transaction
from petpro_common.idempotency import once
from petpro_notification import notifications, store


class NotificationServicer(notification_pb2_grpc.NotificationServiceServicer):
    """What a person was told. Everybody sees their own alone, administrators too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.ListNotificationsResponse:
        user_id = signed_in().user_id
        filters = (user_id, request.unread_only)
        after = pages.read_moment(request.page_token, *filters)
        size = pages.page_size(request.page_size)
        async with self._database.reading() as tx:
            rows = await store.page_of(tx, user_id, request.unread_only, after, size + 1)
        shown, token = pages.cut(rows, size, lambda row: (row.created_at, row.id), *filters)
        return pb.ListNotificationsResponse(notifications=map(to_proto, shown), next_page_token=token)

    async def ReadNotification(
        self, request: pb.ReadNotificationRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.ReadNotificationResponse:
        user_id = signed_in().user_id

        async def work(tx: Transaction) -> pb.ReadNotificationResponse:
            row = await notifications.read(tx, user_id, UUID(request.notification_id))
            return pb.ReadNotificationResponse(notification=to_proto(row))

        return await once(self._database, request, pb.ReadNotificationResponse, work)


def to_proto(row: Row) -> pb.Notification:
    """A notification as the contract has it."""
    message = pb.Notification(
        id=str(row.id),
        user_id=str(row.user_id),
        booking_id=str(row.booking_id or ""),
        type=row.type,
        title=row.title,
        content=row.content,
        is_read=row.is_read,
    )
    message.created_at.FromDatetime(row.created_at)
    if row.read_at:
        message.read_at.FromDatetime(row.read_at)
    return message
