"""`python -m petpro_payment`: the parts of payment, and how they hang together."""

from petpro.payment.v1 import ledger_pb2_grpc, operations_pb2_grpc, payment_pb2_grpc, reconciliation_pb2_grpc
from petpro_common.messaging.events import event_consumer
from petpro_common.messaging.participant import command_consumer
from petpro_common.personal.erasure import keep_forgetting
from petpro_common.sealing import Opener
from petpro_common.service import Service, run
from petpro_payment import waiting
from petpro_payment.asking import Timings
from petpro_payment.clinics import Clinics
from petpro_payment.consumer import EVENT_HANDLERS, command_handlers
from petpro_payment.providers.registry import open_providers
from petpro_payment.servicer import PaymentServicer
from petpro_payment.servicer_ledger import LedgerServicer
from petpro_payment.servicer_queue import MoneyQueueServicer
from petpro_payment.servicer_reconciliation import ReconciliationServicer
from petpro_payment.settings import Settings
from petpro_payment.store_personal import HELD, forget
from petpro_payment.under_lock import UnderLock
from petpro_payment.worker import Worker


async def main() -> None:
    settings = Settings.load()
    timings = Timings(
        lease=settings.lease_seconds,
        not_found_grace=settings.not_found_grace_seconds,
        poll=settings.poll_seconds,
        poll_limit=settings.poll_limit_seconds,
    )
    opened = open_providers(settings.providers, settings.provider_timeout_seconds)
    async with Service("petpro_payment", settings, HELD) as service, opened as providers:
        clinics = Clinics(service.database, service.channel(settings.catalog_address))
        under_lock = UnderLock(service.database)
        servicer = PaymentServicer(service.database, under_lock, clinics, providers)
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(servicer, service.server)
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(service.database, clinics), service.server)
        queue = MoneyQueueServicer(service.database, providers)
        operations_pb2_grpc.add_MoneyQueueServiceServicer_to_server(queue, service.server)
        reconciliation = ReconciliationServicer(service.database, providers)
        reconciliation_pb2_grpc.add_ReconciliationServiceServicer_to_server(reconciliation, service.server)

        opener = Opener(settings.service_key.get_secret_value())
        worker = Worker(service.database, under_lock, providers, timings, opener)
        orders = command_handlers(
            providers[settings.provider].capabilities,
            settings.platform_tax_percent,
            settings.pay_at_clinic,
            worker.errands,
        )
        service.work(worker)
        service.background(waiting.run(service.database))
        service.background(keep_forgetting(service.database, forget))
        service.consume(command_consumer(service.database, service.broker, orders))
        service.consume(event_consumer(service.database, service.broker, EVENT_HANDLERS))
        await service.serve()


if __name__ == "__main__":
    run(main())
