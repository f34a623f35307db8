"""The composition root of the notification service."""

from functools import partial

from petpro.notification.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from petpro.notification.v1.notification_pb2_grpc import add_NotificationServiceServicer_to_server
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.saturation import keep_looking
from petpro_common.service import Service, run
from petpro_notification.consumer import consumer
from petpro_notification.deliveries import Deliveries, end_old
from petpro_notification.directory import Directory
from petpro_notification.naming import Naming
from petpro_notification.senders.registry import opened
from petpro_notification.servicer import NotificationServicer
from petpro_notification.servicer_devices import DeviceServicer
from petpro_notification.settings import Settings
from petpro_notification.store_personal import HELD, forget
from petpro_notification.wording import Wording

_OLD_SECONDS = 60.0


async def main() -> None:
    """Runs the service until it is told to stop."""
    settings = Settings.load()
    wording = Wording(settings.language)
    async with (
        opened(settings) as outside,
        Service("petpro_notification", settings, HELD) as service,
        service.channel(settings.catalog_address) as catalog,
    ):
        directory = Directory(service.account_channel, catalog)
        naming = Naming(service.database, directory, wording)
        couriers = [
            Deliveries(service.database, directory, naming, sender, settings)
            for sender in outside.senders(settings, service.database)
        ]
        add_NotificationServiceServicer_to_server(NotificationServicer(service.database), service.server)
        devices = DeviceServicer(service.database, settings.push_services)
        add_DeviceServiceServicer_to_server(devices, service.server)
        service.consume(consumer(service.database, service.broker, wording, couriers))
        for courier in couriers:
            service.background(courier.run())
            service.background(keep_looking("deliveries waiting", courier.look))
        service.background(keep_looking("old deliveries", partial(end_old, service.database), _OLD_SECONDS))
        service.background(keep_forgetting(service.database, forget))
        await service.serve()


if __name__ == "__main__":
    run(main())
