"""The catalog for a test: its servicers behind the real edge, on a fresh database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from devstack.testing import MakeDatabase
from petpro.catalog.v1.catalog_pb2_grpc import CatalogServiceStub, add_CatalogServiceServicer_to_server
from petpro.catalog.v1.operations_pb2_grpc import (
    ReviewOperationsServiceStub,
    add_ReviewOperationsServiceServicer_to_server,
)
from petpro_catalog.bookings import Bookings
from petpro_catalog.servicer import CatalogServicer
from petpro_catalog.servicer_operations import OperationsServicer
from petpro_common.db import Database
from petpro_common.testing import KeyRing, serving
from services.catalog.tests.people import Catalog, PlayedBookings


@pytest.fixture
async def own_database(database: MakeDatabase) -> AsyncIterator[Database]:
    made = await database("catalog")
    pool = Database(made.url, made.password, pool_size=8, plans_by_key=False)
    yield pool
    await pool.close()


@pytest.fixture
async def catalog(own_database: Database, tmp_path: Path) -> AsyncIterator[Catalog]:
    keys, played = KeyRing(tmp_path), PlayedBookings()
    async with serving("booking", keys.verifier(), played.register) as booking:

        def register(server: aio.Server) -> None:
            add_CatalogServiceServicer_to_server(CatalogServicer(own_database, Bookings(booking)), server)
            add_ReviewOperationsServiceServicer_to_server(OperationsServicer(own_database), server)

        async with serving("catalog", keys.verifier(), register) as channel:
            stubs = CatalogServiceStub(channel), ReviewOperationsServiceStub(channel)
            yield Catalog(*stubs, own_database, keys, played)
