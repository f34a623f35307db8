"""What people do with the platform: the hot ways, and what they look up."""

import asyncio
from datetime import UTC, datetime
from itertools import product

from devstack.api import Api, Json
from devstack.layout import SERVICES
from tests.waiting import eventually
from tests.world import BANDUNG, Clinic, Customer, World

_END_HOLD = "UPDATE reservations SET expires_at = %(at)s WHERE id = %(id)s"
_BEGIN_SOON = """
    UPDATE bookings SET starts_at = now() + interval '1 hour', start_told_at = now() - interval '2 days'
    WHERE id = %(id)s
"""
_REMINDED = "SELECT id FROM bookings WHERE id = %(id)s AND start_told_at > now() - interval '1 hour'"
_UNDELIVERED = """
    SELECT deliveries.id FROM deliveries JOIN notifications ON notifications.id = notification_id
    WHERE user_id = %(id)s AND status <> 'sent' AND due_at < now() + interval '1 hour'
"""
_QUERY = dict[str, str | float]


async def live_a_day(world: World, clinic: Clinic, regular: Customer) -> tuple[Customer, Json]:
    """Four people book at once; then each does something else. Returns one who is new here, and her booking."""
    new = await asyncio.gather(*(world.customer() for _ in range(3)))
    people = [regular, *new]
    booked = await asyncio.gather(*(world.book(who, clinic.slot(n)) for n, who in enumerate(people)))
    await asyncio.gather(
        _cancels(world, regular, booked[0]),
        _cancels(world, new[0], booked[1]),
        _is_declined(world, new[1], clinic.slot(4)),
        _runs_out(world, new[1], clinic.slot(5)),
        _pays_at_the_clinic(world, regular, clinic.slot(7)),
        world.miss(clinic.owner, booked[2]["id"]),
        new[2].api.post(f"/v1/bookings/{booked[3]['id']}:reschedule", {"slot_id": clinic.slot(6)}),
    )
    await _is_reminded(world, booked[3])
    await _is_seen(world, clinic, new[2], booked[3])
    await _signs_in(world)
    *_, last = await world.slots(clinic.owner, clinic.service_id, capacity=1, days_ahead=2)
    await clinic.owner.call("DELETE", f"/v1/slots/{last['id']}")
    for who in people:
        await _is_mailed(world, who)
    return new[1], booked[2]


async def _cancels(world: World, who: Customer, booking: Json) -> None:
    await world.cancel(who.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")


async def _is_declined(world: World, who: Customer, slot_id: str) -> None:
    reservation = await world.hold(who, slot_id)
    await world.checkout(who, reservation, "tok_declined")
    await world.checkout_ends(who, reservation, "FAILED")


async def _runs_out(world: World, who: Customer, slot_id: str) -> None:
    reservation = await world.hold(who, slot_id)
    await world.rows("booking", _END_HOLD, id=reservation["id"], at=datetime.now(UTC))

    async def has_run_out() -> bool:
        return bool((await world.reservation(who, reservation["id"]))["status"] == "RESERVATION_STATUS_EXPIRED")

    await eventually("the hold to run out", has_run_out)


async def _pays_at_the_clinic(world: World, who: Customer, slot_id: str) -> None:
    reservation = await world.hold(who, slot_id)
    await world.checkout(who, reservation, "", "pay_at_clinic")
    await world.checkout_ends(who, reservation, "CONFIRMED")


async def _is_reminded(world: World, booking: Json) -> None:
    await world.rows("booking", _BEGIN_SOON, id=booking["id"])
    await eventually("the reminder", lambda: world.rows("booking", _REMINDED, id=booking["id"]))


async def _is_seen(world: World, clinic: Clinic, who: Customer, booking: Json) -> None:
    """The visit, and what is said of it."""
    await world.visit(clinic.owner, booking["id"])
    path = f"/v1/bookings/{booking['id']}/review"

    async def is_reviewed() -> bool:
        said = await who.api.send("POST", path, json={"rating": 4, "comment": "Kind people"})
        return said.is_success

    await eventually("the visit to be open for a review", is_reviewed)
    review = (await who.api.get(path))["review"]["id"]
    for verb in ("unpublish", "publish"):
        await world.admin.post(f"/v1/operations/reviews/{review}:{verb}", {"reason": "names a person"})


async def _signs_in(world: World) -> None:
    tokens = (await world.visitor.post("/v1/auth/token", world.stack.endpoints["users"]["admin"]))["tokens"]
    await world.visitor.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})


async def _is_mailed(world: World, who: Customer) -> None:
    async def is_mailed() -> bool:
        return not await world.rows("notification", _UNDELIVERED, id=who.id)

    await eventually("the mails", is_mailed)


async def look_around(world: World, clinic: Clinic, who: Customer, booking: Json) -> None:
    """Everything that can be listed, and its second page; of what is held of people all pages."""
    at, owner, admin, visitor = f"/v1/clinics/{clinic.id}", clinic.owner, world.admin, world.visitor
    day = str(clinic.slots[0]["slot_date"])
    lists: list[tuple[Api, str, _QUERY]] = [
        (visitor, "/v1/clinics", {}),
        (visitor, "/v1/clinics", {"latitude": BANDUNG[0], "longitude": BANDUNG[1], "radius_km": 30}),
        (visitor, "/v1/clinics", {"query": "sahabat"}),
        (visitor, "/v1/clinics", {"city": "kota 3"}),
        (owner, "/v1/clinics", {"mine": "true"}),
        (admin, "/v1/clinics", {"status": "CLINIC_STATUS_PENDING"}),
        (who.api, at, {}),
        (visitor, f"{at}/services", {}),
        (owner, f"{at}/staff", {}),
        (visitor, f"{at}/reviews", {}),
        (owner, f"{at}/reviews", {"unpublished": "true"}),
        (visitor, f"/v1/services/{clinic.service_id}/slots", {"from_date": day, "to_date": day}),
        (who.api, "/v1/users/me", {}),
        (who.api, "/v1/pets", {}),
        (who.api, "/v1/bookings", {}),
        (who.api, "/v1/bookings", {"status": "BOOKING_STATUS_NO_SHOW"}),
        (owner, "/v1/bookings", {"clinic_id": clinic.id}),
        (owner, "/v1/bookings", {"clinic_id": clinic.id, "status": "BOOKING_STATUS_CONFIRMED"}),
        (owner, f"/v1/payments/{booking['payment_id']}", {}),
        (owner, f"{at}/financial-entries", {}),
        (owner, f"{at}/financial-entries", {"booking_id": booking["id"]}),
        (owner, f"{at}/summary", {}),
        (owner, f"{at}/settlements", {}),
        (who.api, "/v1/notifications", {}),
        (who.api, "/v1/notifications", {"unread_only": "true"}),
        (admin, "/v1/operations/sagas", {}),
        (admin, "/v1/operations/sagas", {"status": "parked"}),
        (admin, "/v1/operations/sagas", {"business_key": "checkout:unheard-of:"}),
        (admin, "/v1/operations/refunds", {}),
        (admin, "/v1/operations/quarantine", {}),
        (admin, "/v1/operations/journal", {}),
        (admin, "/v1/operations/messages/booking", {}),
    ]
    for api, path, query in lists:
        first = await api.get(path, **query)
        if token := first.get("next_page_token"):
            await api.get(path, page_token=token, **query)
    for api, service in product((who.api, owner), SERVICES):
        page: _QUERY = {"page_size": 100}
        while token := (await api.get(f"/v1/personal-data/{service}", **page))["next_page_token"]:
            page["page_token"] = token
