"""Two services, as the tables and the NATS user of each: what they say to each other is real."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from devstack import testing
from petpro_common.db import Database
from petpro_common.messaging import schema
from petpro_common.messaging.broker import Broker
from petpro_common.saga.schema import SAGA_STORAGE_V1, SAGA_TIMELINE_V2, SAGA_V1, SAGA_V2
from petpro_common.testing.running import MakeBroker, MakeDatabase

_MESSAGES = "".join((
    *(schema.MESSAGING_V1, schema.MESSAGING_V2, schema.PARKED_V2, schema.STORAGE_V1),
    *(schema.HAND_OFF_V1, schema.HAND_OFF_V2, schema.PARKED_V3),
))  # fmt: skip
_SAGAS = SAGA_V1 + SAGA_V2 + SAGA_STORAGE_V1 + SAGA_TIMELINE_V2
_TABLES = _MESSAGES + _SAGAS


@pytest.fixture
async def database_of(empty_database: testing.MakeDatabase) -> AsyncIterator[MakeDatabase]:
    """`await database_of("booking")`: a database with the message and saga tables."""
    async with AsyncExitStack() as stack:

        async def make(service: str) -> Database:
            made = await empty_database(service)
            database = Database(made.url, made.password)
            stack.push_async_callback(database.close)
            async with database.transaction() as tx:
                for statement in _TABLES.split(";\n"):
                    if statement.strip():
                        await tx.execute(text(statement))
            return database

        yield make


@pytest.fixture
async def broker_of(nats: testing.Broker) -> AsyncIterator[MakeBroker]:
    """`await broker_of("booking")`: a connection as that service's NATS user."""
    async with AsyncExitStack() as stack:

        async def make(service: str) -> Broker:
            broker = Broker(service, nats.url, nats.passwords[service])
            await broker.connect()
            stack.push_async_callback(broker.close)
            return broker

        yield make
