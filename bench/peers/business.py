"""A peer's database on the stack's server: the business tables with bookings, and what became of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
from psycopg import sql

from bench.peers.steps import SLOTS
from devstack.stack import Stack

_TABLES = Path(__file__).with_name("tables.sql")
_INTENTS, _AT_ONCE = 1024, 32
"""So many that each has but some refunds: the provider looks through those of a payment for each one more."""

# The ids are those of steps.identity: the kind in the first byte, the number in the others.
_LOAD = """
CREATE FUNCTION identity(kind integer, number bigint) RETURNS uuid IMMUTABLE
    RETURN (lpad(to_hex(kind), 2, '0') || lpad(to_hex(number), 30, '0'))::uuid;
INSERT INTO slots SELECT identity(5, n), {bookings}, 0 FROM generate_series(0, {slots} - 1) AS n;
INSERT INTO bookings (id, user_id, clinic_id, slot_id, payment_id, amount, status, cancellation_status,
                      cancellation_count, updated_at)
    SELECT identity(1, n), identity(6, n % 100), identity(7, n % 10), identity(5, n % {slots}), identity(2, n),
           150000, 'confirmed', 'none', 0, now() FROM generate_series(1, {bookings}) AS n;
UPDATE slots SET booked_count = taken FROM (SELECT slot_id, count(*) AS taken FROM bookings GROUP BY 1) AS counted
    WHERE slots.id = counted.slot_id;
INSERT INTO payments SELECT payment_id, id, 'many', amount, amount, 0, 0, now() FROM bookings;
VACUUM ANALYZE;
"""
_ENDED = """
    SELECT count(*) FROM bookings JOIN refunds ON refunds.booking_id = bookings.id
    JOIN financial_entries AS entry ON entry.refund_id = refunds.id
    WHERE bookings.status = 'cancelled' AND refunds.status = 'succeeded' AND entry.status = 'settled'
"""
# Whatever was done once too often: a lock taken twice, an event told twice, a seat freed twice, money set aside twice.
_TWICE = """
    SELECT (SELECT coalesce(sum(cancellation_count - 1), 0) FROM bookings WHERE cancellation_count > 1)
         + (SELECT coalesce(sum(told - 1), 0) FROM (SELECT count(*) AS told FROM events GROUP BY booking_id) AS e)
         + (SELECT (SELECT count(*) FROM bookings WHERE status <> 'cancelled') - sum(booked_count) FROM slots)
         + (SELECT count(*) FROM payments WHERE refund_reserved + refund_done > captured / 2)
"""


@dataclass(frozen=True)
class Business:
    """The database of one peer."""

    name: str
    url: str
    """As a superuser."""
    intents: Sequence[str]
    """At the provider, each with money for every refund."""

    async def ended(self) -> int:
        """How many cancellations have left everything as it should be."""
        return await self._count(_ENDED)

    async def done_twice(self) -> int:
        """How many effects there are too many."""
        return await self._count(_TWICE)

    async def _count(self, statement: str) -> int:
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            row = await (await connection.execute(statement.encode())).fetchone()
            return int(row[0]) if row else 0


async def open_business(stack: Stack, name: str, bookings: int) -> Business:
    """Makes the database, with so many confirmed and paid bookings."""
    url = await make_database(stack, name)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        script = _TABLES.read_text() + _LOAD.format(bookings=bookings, slots=SLOTS)
        for statement in filter(str.strip, script.split(";\n")):
            await connection.execute(statement.encode())
    return Business(name, url, await _intents(stack))


async def make_database(stack: Stack, name: str) -> str:
    """An empty database; its URL."""
    dsn = stack.around.postgres.superuser_url()
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return stack.around.postgres.superuser_url(name)


def provider_of(stack: Stack) -> tuple[str, str]:
    """URL and key of the stack's payment sandbox."""
    return f"http://{stack.around.ports.address('sandbox')}", stack.around.secrets.sandbox_api_key().read_text().strip()


async def _intents(stack: Stack) -> list[str]:
    """Payments at the sandbox whose refunds send no webhooks: the peers do not wait for them."""
    body = {"amount": "999999999999.00", "currency": "IDR", "payment_method": "card", "reference": "peers"}
    url, key = provider_of(stack)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:

        async def paid() -> str:
            headers = {"Idempotency-Key": uuid4().hex}
            intent = {**body, "payment_token": "tok_webhook_never"}
            answer = await client.post("/v1/payment_intents", json=intent, headers=headers)
            return str(answer.raise_for_status().json()["id"])

        made: list[str] = []
        while len(made) < _INTENTS:
            made += await asyncio.gather(*(paid() for _ in range(_AT_ONCE)))
    return made
