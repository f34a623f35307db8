"""Calls about services."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.catalog.v1 import catalog_pb2 as pb
from petpro_catalog import clinics, messages, services, store_services
from petpro_catalog.domain import Service, ServiceDetails, is_insider
from petpro_common.context import maybe_caller, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once
from petpro_common.pages import cut, page_size, read_key

Context = ServicerContext[Any, Any]


class ServiceCalls:
    """The service calls of CatalogService."""

    _database: Database

    async def CreateService(self, request: pb.CreateServiceRequest, context: Context) -> pb.CreateServiceResponse:
        caller = signed_in()

        async def work(tx: Transaction) -> pb.CreateServiceResponse:
            details = messages.service_details(request.service)
            service = await services.add(tx, UUID(request.clinic_id), caller, details)
            return pb.CreateServiceResponse(service=messages.service(service))

        return await once(self._database, request, pb.CreateServiceResponse, work)

    async def ListServices(self, request: pb.ListServicesRequest, context: Context) -> pb.ListServicesResponse:
        caller = maybe_caller()
        clinic_id, size = UUID(request.clinic_id), page_size(request.page_size)
        after = read_key(request.page_token, (str, UUID), clinic_id)
        async with self._database.reading() as tx:
            clinic = await clinics.visible(tx, clinic_id, caller)
            only_available = not is_insider(clinic, caller)
            found = await store_services.services_of(tx, clinic_id, after, size + 1, only_available=only_available)
        shown, token = cut(found, size, lambda service: (service.details.name, service.id), clinic_id)
        return pb.ListServicesResponse(services=map(messages.service, shown), next_page_token=token)

    async def GetService(self, request: pb.GetServiceRequest, context: Context) -> pb.GetServiceResponse:
        async with self._database.reading() as tx:
            service = await services.reachable(tx, UUID(request.service_id), maybe_caller())
        return pb.GetServiceResponse(service=messages.service(service))

    async def UpdateService(self, request: pb.UpdateServiceRequest, context: Context) -> pb.UpdateServiceResponse:
        caller = signed_in()

        def change(service: Service) -> ServiceDetails:
            now = messages.service(service)
            edited = messages.edited(now, request.service, request.update_mask, messages.SERVICE_FIELDS)
            return messages.service_details(edited)

        async def work(tx: Transaction) -> pb.UpdateServiceResponse:
            service = await services.edit(tx, UUID(request.service_id), caller, change)
            return pb.UpdateServiceResponse(service=messages.service(service))

        return await once(self._database, request, pb.UpdateServiceResponse, work)
