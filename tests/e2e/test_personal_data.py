"""A customer is told all that is held of them, erases themselves, and is nowhere to be found in any database."""

import asyncio
import json
import random
from dataclasses import dataclass
from uuid import uuid4

import pytest

from devstack.api import Json, Refused
from devstack.layout import SERVICES
from tests import terminal
from tests.audit.looking import look_over
from tests.waiting import eventually
from tests.world import NO_REFUND, Clinic, Customer, World

# Whatever can hold words, of every table that there is: a new column cannot be forgotten.
COLUMNS = """
    SELECT table_name AS name, array_agg(CAST(column_name AS text)) AS columns FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'character', 'json', 'jsonb', 'ARRAY')
    GROUP BY table_name
"""

TOLD = {
    *("users", "pets", "sessions", "bookings", "reservations", "reviews", "payments", "refunds", "financial_entries"),
    *("notifications", "deliveries", "devices"),
}
"""The tables in which something is held of a customer who has booked, paid, cancelled and reviewed."""

ANYWHERE = """SELECT EXISTS (SELECT FROM "{table}" WHERE concat_ws(' ', {row}) LIKE ANY(%(words)s))"""


@dataclass(frozen=True)
class Known:
    """What somebody could be known by."""

    email: str
    full_name: str
    phone_number: str
    pet: str
    notes: str
    reason: str
    comment: str
    phone: str
    """By which FCM knows it."""

    @property
    def words(self) -> list[str]:
        return list(vars(self).values())


@pytest.fixture
def known() -> Known:
    own = uuid4().hex[:10]
    number = f"+62812{random.randrange(10**7, 10**8)}"
    said = (f"notes {own} limps", f"reason {own} is well", f"comment {own} purrs")
    return Known(f"sari.{own}@example.com", f"Sari {own}", number, f"Miko {own}", *said, f"phone-{own}")


async def found_in(world: World, words: list[str]) -> set[str]:
    """The tables, of all services, in which any of the words stands."""
    found: set[str] = set()
    for service in SERVICES:
        for table in await world.rows(service, COLUMNS):
            row = ", ".join(f'CAST("{column}" AS text)' for column in table["columns"])
            is_there = ANYWHERE.format(table=table["name"], row=row)
            (held,) = await world.rows(service, is_there, words=[f"%{word}%" for word in words])
            if held["exists"]:
                found.add(f"{service}.{table['name']}")
    return found


async def booked(world: World, who: Customer, slot_id: str, notes: str) -> Json:
    reservation = await world.hold(who, slot_id)
    card = {"lock_id": reservation["lock_id"], "payment_method": "card", "payment_token": "tok_success", "notes": notes}
    await who.api.post(f"/v1/reservations/{reservation['id']}:checkout", card)
    confirmed = await world.checkout_ends(who, reservation, "CONFIRMED")
    await world.saga_ends(f"checkout:{reservation['id']}:", "completed")
    return await world.booking(who.api, confirmed["booking_id"])


async def violations_of(world: World, *bookings: Json) -> list[str]:
    """What the auditor says of these bookings, once all that is about them has settled."""
    ids = [booking[name] for booking in bookings for name in ("id", "payment_id")]
    report = await asyncio.to_thread(look_over, world.stack, grace=5, pause=6, batch=1000)
    return [str(each) for each in report.violations if any(id_ in str(each) for id_ in ids)]


@dataclass(frozen=True)
class Life:
    """A customer with a visit behind them, one called off, two to come and a hold; and another with a booking."""

    who: Customer
    password: str
    other: Customer
    clinic: Clinic
    visited: Json
    called_off: Json
    to_come: Json
    dear: Json
    """To come, and nothing is given back for it."""
    theirs: Json


async def lived(world: World, known: Known) -> Life:
    password = uuid4().hex
    named = {"email": known.email, "full_name": known.full_name, "phone_number": known.phone_number}
    who, other = await world.customer(**named, password=password), await world.customer()
    await who.api.call("PATCH", f"/v1/pets/{who.pet_id}", json={"name": known.pet})
    await who.api.post("/v1/devices", {"fcm_token": known.phone})
    clinic, strict = await world.clinic(), await world.clinic(policy=NO_REFUND)
    visited, called_off, to_come = [await booked(world, who, clinic.slot(number), known.notes) for number in range(3)]
    dear, theirs = await world.book(who, strict.slot(0)), await world.book(other, clinic.slot(3))
    await world.hold(who, clinic.slot(4))
    await who.api.post(f"/v1/bookings/{called_off['id']}:cancel", {"reason": known.reason})
    await world.saga_ends(f"cancellation:{called_off['id']}:", "completed")
    await world.visit(clinic.owner, visited["id"])
    await who.api.post(f"/v1/bookings/{visited['id']}/review", {"rating": 4, "comment": known.comment})
    return Life(who, password, other, clinic, visited, called_off, to_come, dear, theirs)


async def held_of(who: Customer) -> Json:
    """What each service says that it holds of them, once they have been told of their visit and their refund."""

    async def all_that_was_told() -> Json | None:
        pages = {name: (await who.api.get(f"/v1/personal-data/{name}", page_size=100))["rows"] for name in SERVICES}
        told = [row["values"]["type"] for row in pages["notification"] if row["table"] == "notifications"]
        return pages if {"booking_completed", "refund_settled"} <= set(told) else None

    return await eventually("all that they are told", all_that_was_told)


async def see_what_is_held(world: World, known: Known, life: Life) -> None:
    held = await held_of(life.who)
    assert {row["table"] for rows in held.values() for row in rows} >= TOLD
    assert [word for word in known.words if word not in json.dumps(held, ensure_ascii=False)] == []
    exported = (await terminal.petproctl(world.stack, "users", "export", known.email)).json
    assert exported["user_id"] == life.who.id
    assert [word for word in known.words if word not in json.dumps(exported, ensure_ascii=False)] == []
    with pytest.raises(Refused) as refused:
        await life.other.api.get("/v1/personal-data/account", user_id=life.who.id)
    assert refused.value.reason == "FORBIDDEN"
    assert await found_in(world, known.words) >= {
        *("account.users", "account.pets", "booking.bookings", "catalog.reviews", "payment.refunds"),
    }


async def see_what_is_left(world: World, known: Known, life: Life) -> None:
    for booking, refund in ((life.to_come, "150000.00"), (life.dear, "0.00")):
        await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
        left = await world.booking(world.admin, booking["id"])
        assert (left["status"], left["refund_amount"]["amount"]) == ("BOOKING_STATUS_CANCELLED", refund)

    async def is_nowhere() -> bool:
        return not await found_in(world, known.words)

    await eventually("nothing of them to be found", is_nowhere)
    assert await violations_of(world, life.visited, life.called_off, life.to_come, life.dear) == []
    assert await world.seats_taken(life.clinic, life.clinic.slot(4)) == 0
    assert (await world.booking(life.other.api, life.theirs["id"]))["status"] == "BOOKING_STATUS_CONFIRMED"
    reviews = (await world.visitor.get(f"/v1/clinics/{life.clinic.id}/reviews"))["reviews"]
    assert [(review["rating"], review["comment"]) for review in reviews] == [(4, "")]


async def test_a_customer_sees_all_that_is_held_of_them_and_then_nothing_is(world: World, known: Known) -> None:
    life = await lived(world, known)
    await see_what_is_held(world, known, life)
    with pytest.raises(Refused) as refused:
        await life.who.api.post("/v1/users/me:erase", {"password": "another"})
    assert refused.value.reason == "BAD_CREDENTIALS"
    for _ in range(2):
        await life.who.api.post("/v1/users/me:erase", {"password": life.password}, "once")
    await see_what_is_left(world, known, life)
    with pytest.raises(Refused) as refused:
        await world.hold(life.who, life.clinic.slot(5))
    assert refused.value.reason == "PET_NOT_FOUND"
    again = await world.customer(email=known.email)
    assert again.id != life.who.id


async def test_an_administrator_erases_who_asks_by_letter(world: World, known: Known) -> None:
    who = await world.customer(email=known.email, full_name=known.full_name)
    clinic = await world.clinic()
    booking = await world.book(who, clinic.slot())
    why = ("--reason", "asks by letter, ticket 45", "--json")
    foreseen = await terminal.petproctl(world.stack, "users", "erase", who.id, *why, "--dry-run")
    assert foreseen.json["account_status"] == "erased"
    assert await found_in(world, [known.email, known.full_name])

    for _ in range(2):
        done = await terminal.petproctl(world.stack, "users", "erase", who.id, *why)
        assert done.json["account_status"] == "erased"

    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    assert await found_in(world, [known.email, known.full_name]) == set()
    refused = await terminal.petproctl(world.stack, "users", "erase", clinic.owner_id, *why)
    assert (refused.code, "NOT_A_CUSTOMER" in refused.err) == (1, True)
