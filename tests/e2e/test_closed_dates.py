"""A clinic closes on a date, through the gateway: no slots are made there, and everybody sees why."""

from datetime import UTC, datetime, timedelta

from tests.world import World


async def test_a_clinic_that_closes_on_a_date_has_no_slots_there_and_other_hours_on_another(world: World) -> None:
    clinic = await world.clinic()
    closed, short = (_day(ahead) for ahead in (10, 11))
    hours = {"open": "09:00", "close": "11:00", "is_open": True}
    days = [{"date": closed, "reason": "Libur bersama"}, {"date": short, "hours": hours}]
    service = f"/v1/services/{clinic.service_id}"

    await clinic.owner.call("PATCH", service, json={"availability_exceptions": days})
    shown = (await world.visitor.get(service))["service"]["availability_exceptions"]
    assert [(day["date"], day.get("reason", "")) for day in shown] == [(closed, "Libur bersama"), (short, "")]

    wanted = {"from_date": _day(9), "to_date": _day(12)}
    await clinic.owner.post(f"{service}/slots:generate", wanted)
    slots = (await world.visitor.get(f"{service}/slots", **wanted, page_size=100))["slots"]
    assert {slot["slot_date"] for slot in slots} == {_day(9), short, _day(12)}
    assert [slot["slot_start_time"] for slot in slots if slot["slot_date"] == short] == ["09:00", "10:00"]

    await clinic.owner.call("PATCH", f"{service}?update_mask=availability_exceptions", json={})
    assert not (await world.visitor.get(service))["service"].get("availability_exceptions")
    made = await clinic.owner.post(f"{service}/slots:generate", {"from_date": closed, "to_date": closed})
    assert made["created_count"] > 0


def _day(ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()
