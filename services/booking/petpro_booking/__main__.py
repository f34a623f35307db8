"""The composition root of the booking service."""

from datetime import timedelta
from functools import partial

from petpro.booking.v1 import booking_pb2_grpc
from petpro_booking import (
    called_off,
    cancellation,
    checkout,
    erasure,
    expiry,
    partitions,
    reminders,
    summary,
    zone_rules,
)
from petpro_booking.consumer import HANDLERS
from petpro_booking.copies import Copies
from petpro_booking.holds import Terms
from petpro_booking.saga import FINISHING, SAGAS
from petpro_booking.servicer_bookings import BookingServicer
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_booking.servicer_sagas import SagaServicer
from petpro_booking.servicer_slots import SlotServicer
from petpro_booking.servicer_visitors import VisitorServicer
from petpro_booking.settings import Settings
from petpro_booking.store_personal import HELD, forget
from petpro_common.housekeeping import SAGA_PURGES, run_purges
from petpro_common.messaging.events import event_consumer
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.saga import SagaEngine
from petpro_common.saga.census import Census
from petpro_common.sealing import Sealer
from petpro_common.service import Service, run


async def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings.load()
    async with Service("petpro_booking", settings, HELD) as service:
        database = service.database
        catalog = service.channel(settings.catalog_address)
        copies = Copies(database, catalog, service.account_channel)
        time_to_approve = timedelta(seconds=settings.approval_seconds)
        steps = {
            **checkout.local_handlers(time_to_approve, settings.unpaid_most_per_person),
            **cancellation.local_handlers(),
        }
        engine = SagaEngine(database, SAGAS, steps, FINISHING)

        slots = SlotServicer(database, copies)
        for_payment = Sealer(settings.service_jwks_file, "payment")
        terms = Terms(settings.hold_seconds, settings.hold_most_per_person, settings.unpaid_most_per_person)
        reservations = ReservationServicer(database, copies, engine, terms, for_payment)
        bookings = BookingServicer(database, copies, engine)
        visitors = VisitorServicer(database, service.account_channel)
        booking_pb2_grpc.add_SlotServiceServicer_to_server(slots, service.server)
        booking_pb2_grpc.add_ReservationServiceServicer_to_server(reservations, service.server)
        booking_pb2_grpc.add_BookingServiceServicer_to_server(bookings, service.server)
        booking_pb2_grpc.add_VisitorServiceServicer_to_server(visitors, service.server)
        booking_pb2_grpc.add_SagaServiceServicer_to_server(SagaServicer(database, engine), service.server)

        service.consume(event_consumer(database, service.broker, HANDLERS))
        service.consume(engine.consumer(service.broker))
        service.background(engine.run_timer())
        service.background(Census(database).run())
        service.background(expiry.run(database, min(settings.expiry_check_seconds, settings.hold_seconds)))
        service.background(partitions.run(database, settings.partition_check_seconds))
        service.background(partitions.keep_counting(database))
        service.background(reminders.run(database, settings.reminder_seconds, settings.reminder_check_seconds))
        service.background(called_off.run(database, engine))
        service.background(keep_forgetting(database, forget, partial(erasure.end_all, database, engine)))
        service.background(run_purges(database, SAGA_PURGES))
        service.background(summary.run(database, settings.summary_refresh_seconds))
        service.background(zone_rules.run(database, service.sessions))
        await service.serve()
        await catalog.close()


if __name__ == "__main__":
    run(main())
