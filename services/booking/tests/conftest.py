"""What every test of booking begins with: a database of its own, one clinic, and the servicers behind the edge."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from grpc import aio

from devstack.testing import Broker, MakeDatabase
from petpro.account.v1 import account_pb2_grpc
from petpro.booking.v1 import booking_pb2_grpc
from petpro.catalog.v1 import catalog_pb2_grpc
from petpro_booking import cancellation, checkout
from petpro_booking.copies import Copies
from petpro_booking.holds import Terms
from petpro_booking.saga import SAGAS
from petpro_booking.servicer_bookings import BookingServicer
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_booking.servicer_sagas import SagaServicer
from petpro_booking.servicer_slots import SlotServicer
from petpro_common import channels, rpc
from petpro_common.auth import ServiceTokens
from petpro_common.db import Database
from petpro_common.ids import new_id
from petpro_common.saga import SagaEngine
from petpro_common.sealing import Sealer
from petpro_common.testing import KeyRing, serving
from services.booking.tests.clock_change import EIGHT_BEHIND, Government
from services.booking.tests.desk import Desk, open_desk
from services.booking.tests.servicers_played import PlayedCatalog, PlayedPets
from services.booking.tests.world import MOST_UNPAID, World

HOLD_SECONDS = 600.0
TERMS = Terms(HOLD_SECONDS, most=10, most_unpaid=MOST_UNPAID)
FOR_MANY = replace(TERMS, most=100_000)
"""Where one person stands for many."""


@pytest.fixture
async def connect(database: MakeDatabase) -> AsyncIterator[Callable[[], Database]]:
    """Pools of connections to the test's database, as many as it wants: one for each replica."""
    made = await database("booking")
    async with AsyncExitStack() as open_pools:

        def one_more() -> Database:
            pool = Database(made.url, made.password)
            open_pools.push_async_callback(pool.close)
            return pool

        yield one_more


@pytest.fixture
def booking_database(connect: Callable[[], Database]) -> Database:
    return connect()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder: Path = tmp_path_factory.mktemp("keys")
    return KeyRing(folder)


@asynccontextmanager
async def others(keys: KeyRing, catalog: PlayedCatalog, pets: PlayedPets) -> AsyncIterator[aio.Channel]:
    """The channel on which booking asks the played catalog and account, with its own token."""
    server = rpc.server(rpc.Edge("catalog", keys.verifier()))
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)
    account_pb2_grpc.add_PetServiceServicer_to_server(pets, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tokens = ServiceTokens("booking", keys.service_key("booking"))
    async with channels.channel(f"127.0.0.1:{port}", tokens, deadline_seconds=60) as channel:
        yield channel
    await server.stop(0)


@pytest.fixture
async def world(booking_database: Database, keys: KeyRing) -> AsyncIterator[World]:
    # Only what booking asks is played.
    catalog, pets = PlayedCatalog(), PlayedPets()  # type: ignore[abstract]
    ani = new_id()
    clinic_id = catalog.add_clinic(ani, "Asia/Jakarta")
    service_id = catalog.add_service(clinic_id)
    steps = {**checkout.local_handlers(timedelta(hours=1), MOST_UNPAID), **cancellation.local_handlers()}
    engine = SagaEngine(booking_database, SAGAS, steps)

    async with others(keys, catalog, pets) as asked:
        copies = Copies(booking_database, asked, asked)
        slots = SlotServicer(booking_database, copies)
        for_payment = Sealer(keys.service_jwks_file, "payment")
        reservations = ReservationServicer(booking_database, copies, engine, TERMS, for_payment)
        bookings = BookingServicer(booking_database, copies, engine)

        def register(server: aio.Server) -> None:
            booking_pb2_grpc.add_SlotServiceServicer_to_server(slots, server)
            booking_pb2_grpc.add_ReservationServiceServicer_to_server(reservations, server)
            booking_pb2_grpc.add_BookingServiceServicer_to_server(bookings, server)
            booking_pb2_grpc.add_SagaServiceServicer_to_server(SagaServicer(booking_database, engine), server)

        async with serving("booking", keys.verifier(), register) as channel:
            yield World(booking_database, keys, channel, catalog, pets, ani, clinic_id, service_id)


@pytest.fixture
async def desk(world: World, booking_database: Database, database: MakeDatabase, nats: Broker) -> AsyncIterator[Desk]:
    async with open_desk(world, booking_database, database, nats) as opened:
        yield opened


@pytest.fixture
def government(monkeypatch: pytest.MonkeyPatch) -> Government:
    government = Government(monkeypatch)
    government.decides(EIGHT_BEHIND, "2026a")
    return government
