"""The catalog service: `python -m petpro_catalog`."""

from petpro.catalog.v1 import catalog_pb2_grpc, operations_pb2_grpc
from petpro_catalog.bookings import Bookings
from petpro_catalog.consumer import HANDLERS
from petpro_catalog.erasure import forget
from petpro_catalog.servicer import CatalogServicer
from petpro_catalog.servicer_operations import OperationsServicer
from petpro_catalog.settings import Settings
from petpro_catalog.store_personal import HELD
from petpro_common.messaging.events import event_consumer
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.service import Service, run


async def main() -> None:
    settings = Settings.load()
    async with (
        Service("petpro_catalog", settings, HELD) as service,
        service.channel(settings.booking_address) as booking,
    ):
        servicer = CatalogServicer(service.database, Bookings(booking))
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(servicer, service.server)
        operations = OperationsServicer(service.database)
        operations_pb2_grpc.add_ReviewOperationsServiceServicer_to_server(operations, service.server)
        service.consume(event_consumer(service.database, service.broker, HANDLERS))
        service.background(keep_forgetting(service.database, forget))
        await service.serve()


if __name__ == "__main__":
    run(main())
