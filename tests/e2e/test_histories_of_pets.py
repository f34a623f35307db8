"""What a vet should know of a pet, through the gateway: the owner writes it, the clinic of a booking reads it."""

import pytest

from devstack.api import Refused
from tests.world import World

HISTORY = {
    "allergies": ["Penicillin"],
    "vaccinations": [{"name": "Rabies", "given_on": "2026-03-14"}],
    "notes": "Bites.\nAfraid of dogs.",
}


async def test_the_clinic_of_a_booking_reads_a_pets_history_until_the_visit_is_over(world: World) -> None:
    clinic, person = await world.clinic(), await world.customer()
    pet = f"/v1/pets/{person.pet_id}"
    await person.api.call("PATCH", pet, json={"medical_history": HISTORY})
    kept = (await person.api.get(pet))["pet"]["medical_history"]
    assert (kept["allergies"], kept["notes"]) == (HISTORY["allergies"], HISTORY["notes"])

    reservation = await world.hold(person, clinic.slot())
    held = (await clinic.owner.get(f"/v1/reservations/{reservation['id']}/visitor"))["visitor"]
    assert not held.get("medical_history")
    booking = await world.book(person, clinic.slot(1))
    visitor = f"/v1/bookings/{booking['id']}/visitor"
    assert (await clinic.owner.get(visitor))["visitor"]["medical_history"] == kept
    with pytest.raises(Refused, match="BOOKING_NOT_FOUND"):
        await person.api.get(visitor)

    await world.visit(clinic.owner, booking["id"])
    after = (await clinic.owner.get(visitor))["visitor"]
    assert (after["pet_name"], after.get("medical_history")) == ("Moko", None)
