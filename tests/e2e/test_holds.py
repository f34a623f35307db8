"""Many want the same seat at once, and the same person asks twice."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from devstack.api import Json, Refused
from tests.world import Clinic, Customer, World

PEOPLE = 5
HOLDS_EACH = 20


async def _try_to_hold(who: Customer, slot_id: str) -> str:
    try:
        await who.api.post("/v1/reservations", {"slot_id": slot_id, "pet_id": who.pet_id})
    except Refused as refusal:
        return f"{refusal.domain} {refusal.reason}"
    return "held"


@pytest.mark.parametrize("seats", [1, 5])
async def test_of_a_hundred_who_want_a_seat_at_once_exactly_as_many_get_it_as_there_are(
    world: World, seats: int
) -> None:
    clinic = await world.clinic(capacity=seats)
    people = await asyncio.gather(*(world.customer() for _ in range(PEOPLE)))
    await world.hold(people[0], clinic.slot(1))  # from now on booking knows that the clinic is approved
    outcomes = await asyncio.gather(
        *(_try_to_hold(person, clinic.slot(0)) for person in people for _ in range(HOLDS_EACH))
    )
    assert Counter(outcomes) == {"held": seats, "booking.petpro SLOT_FULL": PEOPLE * HOLDS_EACH - seats}
    assert await world.seats_taken(clinic, clinic.slot(0)) == seats


async def _ready(world: World) -> tuple[Clinic, Customer]:
    clinic, person = await asyncio.gather(world.clinic(capacity=5), world.customer())
    await world.hold(person, clinic.slot(1))
    return clinic, person


async def test_the_same_key_twice_holds_one_seat_and_answers_the_same(world: World) -> None:
    clinic, person = await _ready(world)
    key = uuid4().hex
    first = await world.hold(person, clinic.slot(), key)
    assert await world.hold(person, clinic.slot(), key) == first
    assert await world.seats_taken(clinic, clinic.slot()) == 1


async def test_the_same_key_many_times_at_once_holds_one_seat(world: World) -> None:
    clinic, person = await _ready(world)
    key = uuid4().hex
    answers: list[Json] = await asyncio.gather(*(world.hold(person, clinic.slot(), key) for _ in range(8)))
    assert [answer == answers[0] for answer in answers] == [True] * 8
    assert await world.seats_taken(clinic, clinic.slot()) == 1


async def test_a_key_that_was_used_for_something_else_is_refused(world: World) -> None:
    clinic, person = await _ready(world)
    key = uuid4().hex
    await world.hold(person, clinic.slot(), key)
    with pytest.raises(Refused) as refusal:
        await world.hold(person, clinic.slot(2), key)
    assert (refusal.value.status, refusal.value.reason) == (409, "REQUEST_ID_REUSED")
    assert await world.seats_taken(clinic, clinic.slot(2)) == 0


async def test_two_people_may_use_the_same_key(world: World) -> None:
    clinic, person = await _ready(world)
    somebody_else, key = await world.customer(), uuid4().hex
    await asyncio.gather(*(world.hold(who, clinic.slot(), key) for who in (person, somebody_else)))
    assert await world.seats_taken(clinic, clinic.slot()) == 2


async def test_a_cancellation_asked_for_twice_with_one_key_is_one_cancellation(world: World) -> None:
    clinic, person = await _ready(world)
    booking, key = await world.book(person, clinic.slot()), uuid4().hex
    asked = await asyncio.gather(*(world.cancel(person.api, booking["id"], key) for _ in range(4)))
    assert [answer == asked[0] for answer in asked] == [True] * 4
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    sagas = (await world.admin.get("/v1/operations/sagas", business_key=f"cancellation:{booking['id']}:"))["sagas"]
    assert len(sagas) == 1


async def test_a_seat_that_is_given_back_can_be_held_again(world: World) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=1), world.customer())
    reservation = await world.hold(person, clinic.slot())
    given_back = (await person.api.post(f"/v1/reservations/{reservation['id']}:cancel"))["reservation"]
    assert given_back["status"] == "RESERVATION_STATUS_CANCELLED"
    assert (await world.hold(person, clinic.slot()))["id"] != reservation["id"]


async def test_one_person_holds_ten_seats_at_once_and_is_told_when_the_next_place_is_free(world: World) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=20), world.customer())
    first = await world.hold(person, clinic.slot())
    outcomes = await asyncio.gather(*(_try_to_hold(person, clinic.slot(n % 3)) for n in range(15)))
    assert Counter(outcomes) == {"held": 9, "booking.petpro TOO_MANY_HOLDS": 6}
    wanted = {"slot_id": clinic.slot(1), "pet_id": person.pet_id}
    refused = await person.api.send("POST", "/v1/reservations", json=wanted)
    info, retry = refused.json()["details"]
    assert (refused.status_code, info["metadata"]) == (429, {"most": "10"})
    assert 500 < float(retry["retry_delay"].removesuffix("s")) <= 600
    await person.api.post(f"/v1/reservations/{first['id']}:cancel")
    assert await _try_to_hold(person, clinic.slot(1)) == "held"
