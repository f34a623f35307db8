"""Services whose clinic is asked first: who waits for its word, and what becomes of them."""

import pytest

from devstack.api import Json, Refused
from tests.waiting import eventually
from tests.world import Clinic, World


async def test_a_clinic_says_yes_before_the_card_is_charged(world: World) -> None:
    clinic, person = await world.clinic(requires_approval=True), await world.customer()
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation)
    waiting = await world.checkout_ends(person, reservation, "AWAITING_APPROVAL")
    assert await world.rows("payment", "SELECT id FROM payments WHERE user_id = %(id)s", id=person.id) == []
    with pytest.raises(Refused) as refusal:
        await person.api.post(f"/v1/reservations/{waiting['id']}:approve")
    assert refusal.value.reason in ("RESERVATION_NOT_FOUND", "FORBIDDEN")
    await clinic.owner.post(f"/v1/reservations/{waiting['id']}:approve")
    confirmed = await world.checkout_ends(person, reservation, "CONFIRMED")
    assert await _awaiting(clinic) == []
    assert (await world.booking(person.api, confirmed["booking_id"]))["status"] == "BOOKING_STATUS_CONFIRMED"


async def _awaiting(clinic: Clinic) -> list[str]:
    page = await clinic.owner.get("/v1/reservations", clinic_id=clinic.id)
    return [reservation["id"] for reservation in page["reservations"]]


async def test_a_clinic_hears_of_who_waits_for_its_word_finds_them_and_sees_who_would_come(world: World) -> None:
    clinic = await world.clinic(requires_approval=True, of_somebody_else=True)
    person = await world.customer(full_name="Dewi Lestari")
    reservation = await world.hold(person, clinic.slot())
    assert await _awaiting(clinic) == []
    await world.checkout(person, reservation)
    await world.checkout_ends(person, reservation, "AWAITING_APPROVAL")

    async def told() -> list[Json]:
        said = (await clinic.owner.get("/v1/notifications"))["notifications"]
        return [each for each in said if each["type"] == "approval_requested"]

    (notice,) = await eventually("the owner to be told", told)
    assert "Check-up" in notice["content"]
    assert await _awaiting(clinic) == [reservation["id"]]
    own = (await person.api.get("/v1/reservations"))["reservations"]
    assert [(each["id"], bool(each["lock_id"])) for each in own] == [(reservation["id"], True)]

    path = f"/v1/reservations/{reservation['id']}/visitor"
    visitor = (await clinic.owner.get(path))["visitor"]
    assert (visitor["full_name"], visitor["pet_name"], visitor["species"]) == ("Dewi Lestari", "Moko", "cat")
    for nobody in (person.api, (await world.customer()).api):
        with pytest.raises(Refused, match="RESERVATION_NOT_FOUND"):
            await nobody.get(path)
    await clinic.owner.post(f"/v1/reservations/{reservation['id']}:approve")
    booked = await world.checkout_ends(person, reservation, "CONFIRMED")
    await person.api.call("DELETE", f"/v1/pets/{person.pet_id}")
    visitor = (await clinic.owner.get(f"/v1/bookings/{booked['booking_id']}/visitor"))["visitor"]
    assert (visitor["full_name"], visitor.get("pet_name", "")) == ("Dewi Lestari", "")


async def test_a_clinic_says_no_and_the_seat_is_free(world: World) -> None:
    clinic, person = await world.clinic(requires_approval=True), await world.customer()
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation)
    await world.checkout_ends(person, reservation, "AWAITING_APPROVAL")
    await clinic.owner.post(f"/v1/reservations/{reservation['id']}:decline")

    async def declined() -> Json | None:
        now = await world.reservation(person, reservation["id"])
        return now if now["status"] == "RESERVATION_STATUS_CANCELLED" else None

    assert (await eventually("the reservation to end", declined))["failure_reason"] == "DECLINED_BY_CLINIC"
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    assert await world.rows("payment", "SELECT id FROM payments WHERE user_id = %(id)s", id=person.id) == []
