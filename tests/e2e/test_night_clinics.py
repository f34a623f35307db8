"""A clinic that is open at night, from its hours to a visit after midnight."""

from datetime import UTC, datetime, timedelta

from devstack.api import Json
from tests.waiting import eventually
from tests.world import World

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NIGHT = {"open": "20:00", "close": "04:00", "is_open": True}


async def test_a_night_from_sunday_to_monday_is_published_planned_and_booked(world: World) -> None:
    clinic, person = await world.clinic(), await world.customer()
    sunday = _next_sunday()
    every_night = {"operating_hours": dict.fromkeys(WEEKDAYS, NIGHT)}
    await clinic.owner.call("PATCH", f"/v1/clinics/{clinic.id}", json=every_night)
    shown = (await world.visitor.get(f"/v1/clinics/{clinic.id}"))["clinic"]
    assert shown["operating_hours"]["sunday"] == NIGHT
    night_nurse = {
        "name": "Ns. Ratna",
        "email": "ratna@night.example",
        "role": "nurse",
        "working_hours": {"sunday": {"open": "22:00", "close": "02:00", "is_open": True}},
    }
    nurse = (await clinic.owner.post(f"/v1/clinics/{clinic.id}/staff", {"staff": night_nurse}))["staff"]

    wanted = {"staff_id": nurse["id"], "from_date": sunday, "to_date": sunday}
    made = await clinic.owner.post(f"/v1/services/{clinic.service_id}/slots:generate", wanted)
    assert made["created_count"] == 4

    monday = (datetime.fromisoformat(sunday) + timedelta(days=1)).date().isoformat()
    query = {"from_date": sunday, "to_date": monday, "page_size": 100}

    async def slots() -> list[Json]:
        found = (await world.visitor.get(f"/v1/services/{clinic.service_id}/slots", **query))["slots"]
        return [slot for slot in found if slot.get("staff_id") == nurse["id"]]

    night = await eventually("the night's slots", slots)
    assert [(slot["slot_date"], slot["slot_start_time"]) for slot in night] == [
        (sunday, "22:00"),
        (sunday, "23:00"),
        (monday, "00:00"),
        (monday, "01:00"),
    ]
    assert night[1]["slot_end_time"] == "00:00"
    booking = await world.book(person, night[2]["id"])
    assert booking["starts_at"] == night[2]["starts_at"]


def _next_sunday() -> str:
    """One that is not begun anywhere, and no day for which the clinic has slots already."""
    day = datetime.now(UTC).date() + timedelta(days=4)
    return (day + timedelta(days=6 - day.weekday())).isoformat()
