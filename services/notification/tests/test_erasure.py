"""People who were erased: no words that they were told stay, however late they come; that they were told does."""

from uuid import UUID

from petpro_common.ids import new_id
from petpro_common.personal.erasure import erased, forget_again
from petpro_notification import devices
from petpro_notification.store_personal import forget
from services.notification.tests.conftest import World, confirmed
from services.notification.tests.test_reminders import REMINDER

TOLD = "SELECT user_id, type, title, content, metadata FROM notifications ORDER BY created_at, id"


async def test_words_go_and_those_that_come_late_too(world: World) -> None:
    gone, other, booking_id = new_id(), new_id(), new_id()
    await world.tell("booking.confirmed", **confirmed(gone, booking_id))
    await world.tell("booking.confirmed", **confirmed(other, new_id()))
    for _ in range(2):
        async with world.database.transaction() as tx:
            await erased(forget)(tx, {"event_type": "user.erased", "user_id": str(gone), "version": 3})
    cancelled = {"user_id": str(gone), "refund_amount": "0.00", "cancellation_reason": "Miko is well"}
    await world.tell("booking.cancelled", booking_id=str(booking_id), **cancelled)
    assert "Miko" in str(await world.rows(TOLD))

    await world.deliveries().deliver_due()
    await forget_again(world.database, forget)

    confirmation, kept, cancellation = await world.rows(TOLD)
    assert (kept.user_id, "PP-7KQ2MX9D" in kept.content) == (other, True)
    for row, type_ in ((confirmation, "booking_confirmed"), (cancellation, "booking_cancelled")):
        assert (row.user_id, row.type, row.title, row.content) == (gone, type_, "Erased", "")
        assert {name for name in row.metadata if not name.endswith("_id")} == set()
        assert row.metadata["booking_id"] == str(booking_id)


async def test_their_devices_go_and_those_that_come_late_too(world: World) -> None:
    async def register(user_id: UUID, token: str) -> None:
        async with world.database.transaction() as tx:
            await devices.register(tx, user_id, devices.app(token))

    gone, other = new_id(), new_id()
    await register(gone, "their phone")
    await register(other, "another's phone")
    async with world.database.transaction() as tx:
        await erased(forget)(tx, {"event_type": "user.erased", "user_id": str(gone), "version": 3})
    assert [row.token for row in await world.rows("SELECT token FROM devices")] == ["another's phone"]
    await register(gone, "their phone")
    await forget_again(world.database, forget)
    assert [row.token for row in await world.rows("SELECT token FROM devices")] == ["another's phone"]


async def test_mails_that_are_still_due_find_nobody_to_write_to(world: World) -> None:
    gone, booking_id = new_id(), new_id()
    for event_type in ("booking.confirmed", "booking.reminder_due"):
        await world.tell(event_type, **confirmed(gone, booking_id, **REMINDER))
    async with world.database.transaction() as tx:
        await erased(forget)(tx, {"event_type": "user.erased", "user_id": str(gone), "version": 3})

    await world.deliveries().deliver_due()

    ended = await world.rows("SELECT status, reason FROM deliveries")
    assert [tuple(row) for row in ended] == [("suppressed", "nobody to write to")] * 2
