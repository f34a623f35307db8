"""CatalogService, put together of its nouns."""

from petpro.catalog.v1 import catalog_pb2_grpc
from petpro_catalog.bookings import Bookings
from petpro_catalog.servicer_clinics import ClinicCalls
from petpro_catalog.servicer_reviews import ReviewCalls
from petpro_catalog.servicer_services import ServiceCalls
from petpro_catalog.servicer_staff import StaffCalls
from petpro_common.db import Database


class CatalogServicer(ClinicCalls, ServiceCalls, StaffCalls, ReviewCalls, catalog_pb2_grpc.CatalogServiceServicer):
    """Every call of the contract."""

    def __init__(self, database: Database, bookings: Bookings) -> None:
        self._database = database
        self._bookings = bookings
