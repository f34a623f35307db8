"""The composition root of the notification service."""

from functools import partial

from petpro.notification.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from petpro.notification.v1.notification_pb2_grpc import add_NotificationServiceServicer_to_server
from petpro_common.notices import Notices
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.saturation import keep_looking
from petpro_common.service import Service, run
from petpro_notification.consumer import consumer
from petpro_notification.deliveries import Deliveries, end_old
from petpro_notification.directory import Directory
from petpro_notification.naming import Naming
from petpro_notification.notifications import TOLD
from petpro_notification.senders.registry import opened
from petpro_notification.servicer_devices import DeviceServicer
from petpro_notification.servicer_streams import StreamingServicer
from petpro_notification.settings import Settings
from petpro_notification.store_personal import HELD, forget
from petpro_notification.streams import Streams
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
        streams = Streams(service.database, settings.stream_most_per_person)
        notices = Notices(service.database, service.sessions, TOLD)
        servicer = StreamingServicer(service.database, streams, settings)
        add_NotificationServiceServicer_to_server(servicer, service.server)
        devices = DeviceServicer(service.database, settings.push_services)
        add_DeviceServiceServicer_to_server(devices, service.server)
        service.consume(consumer(service.database, service.broker, wording, couriers))
        service.background(notices.pass_on())
        service.background(notices.hear(streams.hear))
        service.background(streams.run())
        service.before_stop(streams.close)
        for courier in couriers:
            service.work(courier)
            service.background(keep_looking("deliveries waiting", courier.look))
        service.background(keep_looking("old deliveries", partial(end_old, service.database), _OLD_SECONDS))
        service.background(keep_forgetting(service.database, forget))
        await service.serve()


if __name__ == "__main__":
    run(main())
