"""The composition root of the notification service."""

from petpro.notification.v1.notification_pb2_grpc import add_NotificationServiceServicer_to_server
from petpro_common.notices import Notices
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.saturation import keep_looking
from petpro_common.service import Service, run
from petpro_notification.consumer import consumer
from petpro_notification.deliveries import Deliveries
from petpro_notification.directory import Directory
from petpro_notification.mail import Post
from petpro_notification.naming import Naming
from petpro_notification.notifications import TOLD
from petpro_notification.servicer_streams import StreamingServicer
from petpro_notification.settings import Settings
from petpro_notification.store_personal import HELD, forget
from petpro_notification.streams import Streams
from petpro_notification.wording import Wording


async def main() -> None:
    """Runs the service until it is told to stop."""
    settings = Settings.load()
    wording = Wording(settings.language)
    async with (
        Service("petpro_notification", settings, HELD) as service,
        service.channel(settings.catalog_address) as catalog,
    ):
        directory = Directory(service.account_channel, catalog)
        naming = Naming(service.database, directory, wording)
        deliveries = Deliveries(service.database, directory, naming, Post(settings), settings)
        streams = Streams(service.database, settings.stream_most_per_person)
        notices = Notices(service.database, service.sessions, TOLD)
        servicer = StreamingServicer(service.database, streams, settings)
        add_NotificationServiceServicer_to_server(servicer, service.server)
        service.consume(consumer(service.database, service.broker, wording, deliveries))
        service.background(notices.pass_on())
        service.background(notices.hear(streams.hear))
        service.background(streams.run())
        service.before_stop(streams.close)
        service.background(deliveries.run())
        service.background(keep_forgetting(service.database, forget))
        service.background(keep_looking("deliveries waiting", deliveries.look))
        await service.serve()


if __name__ == "__main__":
    run(main())
