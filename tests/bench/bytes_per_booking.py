"""`python -m tests.bench.bytes_per_booking`: what a booking leaves in each table with indexes, for `bench/disk.py`."""

import asyncio
import time

import psycopg

from devstack import testing
from devstack.layout import SERVICES
from devstack.running import RunningStack
from tests.world import World, open_world

_SIZES = """
    SELECT coalesce(whole.relname, part.relname), sum(pg_total_relation_size(part.oid))::bigint
    FROM pg_class part LEFT JOIN pg_inherits ON inhrelid = part.oid LEFT JOIN pg_class whole ON whole.oid = inhparent
    WHERE part.relkind = 'r' AND part.relnamespace = 'public'::regnamespace GROUP BY 1
"""
_PEOPLE, _WARM_SECONDS, _SECONDS = 4, 5.0, 30.0


def main() -> None:
    """Books for half a minute, one in ten cancelled, and prints bytes a booking for each table."""
    folder = testing.open_folder()
    stack = testing.start_stack(folder / "sizes")
    try:
        asyncio.run(_measure(stack))
    finally:
        testing.stop_stack(stack)
        testing.close_folder(folder, keep_logs=False)


async def _measure(stack: RunningStack) -> None:
    async with open_world(stack) as world:
        await _book(world, _WARM_SECONDS)
        before = await asyncio.to_thread(_sizes, stack)
        made = await _book(world, _SECONDS)
        after = await asyncio.to_thread(_sizes, stack)
    print(f"{made} bookings")
    for (service, table), size in sorted(after.items()):
        if size != before[service, table]:
            print(f"{service:14}{table:24}{(size - before[service, table]) / made:8,.0f}")


async def _book(world: World, seconds: float) -> int:
    until = time.monotonic() + seconds
    made = sum(await asyncio.gather(*(_one_after_the_other(world, until) for _ in range(_PEOPLE))))
    await asyncio.sleep(3)  # refunds settle and mails leave
    return made


async def _one_after_the_other(world: World, until: float) -> int:
    customer, clinic = await world.customer(), await world.clinic()
    made = 0
    while time.monotonic() < until:
        if made and made % 10 == 0:
            clinic = await world.clinic()
        booking = await world.book(customer, clinic.slot(made % 10))
        made += 1
        if made % 10 == 0:
            await world.cancel(customer.api, booking["id"])
    return made


def _sizes(stack: RunningStack) -> dict[tuple[str, str], int]:
    server = stack.endpoints["postgres"]["dsn"].removesuffix("/postgres")
    found: dict[tuple[str, str], int] = {}
    for service in SERVICES:
        with psycopg.connect(f"{server}/petpro_{service}", autocommit=True) as connection:
            connection.execute("VACUUM")
            found |= {(service, table): int(size) for table, size in connection.execute(_SIZES)}
    return found


if __name__ == "__main__":
    main()
