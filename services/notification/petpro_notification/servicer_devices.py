"""DeviceService: apps and browsers that a person is told things on."""

from collections.abc import Collection
from typing import Any, TypeAlias
from uuid import UUID

from grpc import aio

from petpro.notification.v1 import device_pb2 as pb
from petpro.notification.v1 import device_pb2_grpc
from petpro_common.context import signed_in
from petpro_common.db import Database, Row, Transaction
from petpro_common.errors import FieldViolation, InvalidRequest
from petpro_common.idempotency import once
from petpro_common.instants import timestamp
from petpro_notification import devices
from petpro_notification.domain import DeviceKind
from petpro_notification.store_devices import Target

Context: TypeAlias = aio.ServicerContext[Any, Any]
_KINDS = {kind: pb.DeviceKind.Value(f"DEVICE_KIND_{kind.name}") for kind in DeviceKind}


class DeviceServicer(device_pb2_grpc.DeviceServiceServicer):
    """Where a person wants pushes. Everybody sees their own alone, administrators too.

    A browser's push service must be one of `push_services`.
    """

    def __init__(self, database: Database, push_services: Collection[str]) -> None:
        self._database = database
        self._push_services = push_services

    async def RegisterDevice(self, request: pb.RegisterDeviceRequest, context: Context) -> pb.RegisterDeviceResponse:
        user_id, target = signed_in().user_id, self._target(request)

        async def work(tx: Transaction) -> pb.RegisterDeviceResponse:
            return pb.RegisterDeviceResponse(device=_to_proto(await devices.register(tx, user_id, target)))

        return await once(self._database, request, pb.RegisterDeviceResponse, work)

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        async with self._database.reading() as tx:
            rows = await devices.of(tx, signed_in().user_id)
        return pb.ListDevicesResponse(devices=map(_to_proto, rows))

    async def DeleteDevice(self, request: pb.DeleteDeviceRequest, context: Context) -> pb.DeleteDeviceResponse:
        user_id = signed_in().user_id

        async def work(tx: Transaction) -> pb.DeleteDeviceResponse:
            await devices.remove(tx, user_id, UUID(request.device_id))
            return pb.DeleteDeviceResponse()

        return await once(self._database, request, pb.DeleteDeviceResponse, work)

    def _target(self, request: pb.RegisterDeviceRequest) -> Target:
        if bool(request.fcm_token) == request.HasField("web_push"):
            raise InvalidRequest(FieldViolation("fcm_token", "must be set, or web_push, and not both"))
        if request.fcm_token:
            return devices.app(request.fcm_token)
        keys = request.web_push.keys
        return devices.browser(request.web_push.endpoint, keys.p256dh, keys.auth, self._push_services)


def _to_proto(row: Row) -> pb.Device:
    return pb.Device(
        id=str(row.id),
        kind=_KINDS[DeviceKind(row.kind)],
        created_at=timestamp(row.created_at),
        registered_at=timestamp(row.registered_at),
    )
