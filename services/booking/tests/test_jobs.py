"""What the CronJobs do, each from a process of its own, as a pod would."""

from datetime import timedelta

import pytest

from petpro_booking.jobs import JOBS
from petpro_common.housekeeping import PURGES
from petpro_common.ids import new_id
from petpro_common.job import jobs_of
from services.booking.tests.world import World

SERVICES_WITH_THE_PURGE_ALONE = ("petpro_catalog", "petpro_notification", "petpro_payment")


async def test_the_expiry_job_ends_every_hold_that_ran_out(world: World) -> None:
    slot_id = await world.open_slot(capacity=200)
    for _ in range(3):
        await world.hold(new_id(), slot_id)
    await world.sql("UPDATE reservations SET expires_at = clock_timestamp() - interval '1 second'")

    await JOBS["expiry"](world.database)

    assert await world.seats(slot_id) == (0, "available")
    assert len(await world.events("reservation.expired")) == 3


async def test_the_partitions_job_makes_what_is_missing(world: World) -> None:
    count = "SELECT count(*) AS n FROM pg_inherits WHERE inhparent = 'slots'::regclass"
    await JOBS["partitions"](world.database)
    (before,) = await world.sql(count)
    newest = "SELECT max(inhrelid::regclass::text) AS name FROM pg_inherits WHERE inhparent = 'slots'::regclass"
    (last,) = await world.sql(newest)
    await world.sql(f"ALTER TABLE slots DETACH PARTITION {last.name}")
    await world.sql(f"ALTER TABLE {last.name} RENAME TO out_of_the_way")

    await JOBS["partitions"](world.database)

    assert await world.sql(count) == [before]


async def test_the_summary_job_brings_the_summary_up_to_date(world: World) -> None:
    await world.book(new_id(), await world.open_slot())
    assert await world.sql("SELECT * FROM clinic_booking_summary") == []

    await JOBS["summary"](world.database)

    (month,) = await world.sql("SELECT total_bookings FROM clinic_booking_summary")
    assert month.total_bookings == 1


async def test_the_purge_job_deletes_what_is_over_and_keeps_the_rest(world: World) -> None:
    over = PURGES[1].keep + timedelta(hours=1)
    for id_, age in (("old", over), ("new", timedelta(hours=1))):
        await world.sql(
            "INSERT INTO inbox (message_id, received_at) VALUES (:id, CURRENT_TIMESTAMP - CAST(:age AS interval))",
            id=id_,
            age=age,
        )

    await JOBS["purge"](world.database)

    assert [row.message_id for row in await world.sql("SELECT message_id FROM inbox")] == ["new"]


@pytest.mark.parametrize("package", SERVICES_WITH_THE_PURGE_ALONE)
def test_every_service_can_purge(package: str) -> None:
    assert jobs_of(package).keys() == {"purge"}
