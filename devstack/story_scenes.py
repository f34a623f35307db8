"""The scenes of the stories: each calls the gateway as somebody's app would, and tells what came back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from devstack.api import Api, Call, Json
from devstack.story_stage import (
    Stage,
    StoryWentWrong,
    hours_until,
    milliseconds_between,
    money,
    plain,
    when,
)

HERE = {"latitude": -6.1865, "longitude": 106.8340}
"""Where the person of the story stands: Menteng, Jakarta."""


@dataclass(frozen=True)
class Person:
    """Somebody who has just signed up."""

    api: Api
    name: str
    email: str


@dataclass(frozen=True)
class Choice:
    """What a person wants: a free slot of a service."""

    clinic: Json
    service: Json
    slot: Json


async def sign_up(stage: Stage, full_name: str, phone_number: str) -> Person:
    """Register somebody new, and sign in."""
    nickname, password = full_name.split()[0], uuid4().hex
    address = f"{nickname.lower()}.{uuid4().hex[:6]}@example.com"
    registration = {"email": address, "password": password, "full_name": full_name, "phone_number": phone_number}
    user = (await stage.visitor.post("/v1/users", registration))["user"]
    stage.told.step(f"{user['full_name']} signs up")
    stage.told.fact("e-mail", user["email"])
    tokens = (await stage.visitor.post("/v1/auth/token", {"email": address, "password": password}))["tokens"]
    stage.told.step(f"and signs in; the token is good for {tokens['expires_in'] // 60} minutes")
    person = Person(stage.visitor.signed_in(tokens["access_token"]), nickname, user["email"])
    await _verify_email(stage, person)
    return person


async def _verify_email(stage: Stage, person: Person) -> None:
    """Use the link of the mail that asks whose the address is."""

    async def mailed() -> str | None:
        return stage.token_for(person.email)

    token = await stage.until(f"a mail with a link to {person.email}", mailed)
    stage.told.step(f"A mail asks whether that address is {person.name}'s")
    await stage.visitor.post("/v1/users:verifyEmail", {"token": token})
    stage.told.step(f"{person.name} opens its link")
    status = (await person.api.get("/v1/users/me"))["user"]["verification_status"]
    stage.told.fact("e-mail", status)
    if status != "verified":
        raise StoryWentWrong(f"The address {person.email} was not verified.")


async def add_pet(stage: Stage, person: Person, name: str, species: str, breed: str, weight: str) -> Json:
    """Add a pet to the person's account."""
    wanted = {"name": name, "species": species, "breed": breed, "weight": weight, "gender": "GENDER_FEMALE"}
    pet: Json = (await person.api.post("/v1/pets", {"pet": wanted}))["pet"]
    stage.told.step(f"{person.name} adds {pet['name']}")
    stage.told.fact("pet", f"{pet['species']}, {pet['breed']}, {pet['weight']} kg")
    return pet


async def find_slot(stage: Stage, person: Person) -> Choice:
    """Look around for a clinic, and choose the first free slot that is a day away or more."""
    found = await person.api.get("/v1/clinics", **HERE, radius_km=25, page_size=5)
    clinics: list[Json] = found["clinics"]
    if not clinics:
        raise StoryWentWrong(f"No clinic was found within 25 km of {HERE}.")
    stage.told.step(f"{person.name} looks for clinics nearby")
    stage.told.table(
        ("", "", ""),
        [(f"{clinic['distance_km']:.1f} km", clinic["name"], clinic["address"]) for clinic in clinics],
        [0],
    )
    for clinic in clinics:
        choice = await _free_slot(stage, person, clinic)
        if choice:
            return choice
    raise StoryWentWrong("No clinic nearby has a free slot in the coming weeks.")


async def find_slot_again(stage: Stage, person: Person, before: Choice) -> Choice:
    """Choose the first free slot of a service that is known already."""
    slots = await _free_slots(person, before.service)
    if not slots:
        raise StoryWentWrong(f"{before.service['name']} has no free slot in the coming weeks.")
    choice = Choice(before.clinic, before.service, slots[0])
    _show_free_slots(stage, f"{person.name} looks for a free time at {before.clinic['name']}", choice, slots)
    return choice


async def _free_slot(stage: Stage, person: Person, clinic: Json) -> Choice | None:
    services = (await person.api.get(f"/v1/clinics/{clinic['id']}/services"))["services"]
    offered = stage.told.last
    for service in services:
        if not service["is_available"] or service["requires_approval"]:
            continue
        slots = await _free_slots(person, service)
        if slots:
            choice = Choice(clinic, service, slots[0])
            slots_call = stage.told.last
            stage.told.step(f"reads what {clinic['name']} offers", offered)
            offers = [
                (each["name"], f"{each['duration_minutes']} min", money(each["price"]), _own_policy(each))
                for each in services
            ]
            stage.told.table(("", "", "", ""), offers, right=[1, 2])
            _show_free_slots(stage, f"and the next free times of {service['name']}", choice, slots, slots_call)
            return choice
    return None


async def _free_slots(person: Person, service: Json) -> list[Json]:
    """Three at most, from the day after tomorrow on: far enough for most policies to give everything back."""
    from_date = (datetime.now(UTC) + timedelta(days=2)).date()
    path = f"/v1/services/{service['id']}/slots"
    return list((await person.api.get(path, from_date=from_date, available_only=True, page_size=3))["slots"])


def _show_free_slots(
    stage: Stage, sentence: str, choice: Choice, slots: Sequence[Json], call: Call | None = None
) -> None:
    stage.told.step(sentence, call)
    zone = choice.clinic["timezone"]
    free = [(when(slot["starts_at"], zone), f"{_free(slot)} of {slot['capacity']} seats free") for slot in slots]
    stage.told.table(("", ""), free)


async def hold(stage: Stage, person: Person, pet: Json, choice: Choice) -> Json:
    """Hold a seat."""
    wanted = {"slot_id": choice.slot["id"], "pet_id": pet["id"]}
    reservation: Json = (await person.api.post("/v1/reservations", wanted))["reservation"]
    minutes = milliseconds_between(reservation["created_at"], reservation["expires_at"]) / 60_000
    stage.told.step(f"{person.name} holds a seat for {pet['name']}; it is kept for {minutes:.0f} minutes")
    stage.told.fact("when", when(choice.slot["starts_at"], choice.clinic["timezone"]))
    stage.told.fact("price", money(reservation["price"]))
    stage.told.fact("seats free", str(_free(await seat(stage, choice))))
    return reservation


async def pay(stage: Stage, person: Person, reservation: Json, token: str) -> Json:
    """Pay by card, and wait until the booking is confirmed."""
    card = {"lock_id": reservation["lock_id"], "payment_method": "card", "payment_token": token}
    path = f"/v1/reservations/{reservation['id']}"
    checkout = (await person.api.post(f"{path}:checkout", card))["reservation"]
    stage.told.step(f"{person.name} pays by card")
    stage.told.fact("checkout", plain(checkout["checkout_status"], "CHECKOUT_STATUS_"))

    async def confirmed() -> Json | None:
        now: Json = (await person.api.get(path))["reservation"]
        return now if now["checkout_status"] == "CHECKOUT_STATUS_CONFIRMED" else None

    paid = await stage.until("the booking to be confirmed", confirmed)
    waited = stage.told.last
    booking = await booking_of(person.api, paid["booking_id"])
    stage.told.step(f"The booking is {plain(booking['status'], 'BOOKING_STATUS_')}", waited)
    stage.told.fact("reference", booking["reference_code"])
    return booking


async def show_payment(stage: Stage, person: Person, booking: Json) -> Json:
    """The payment as the customer sees it."""
    payment: Json = (await person.api.get(f"/v1/payments/{booking['payment_id']}"))["payment"]
    stage.told.step(f"The payment: {plain(payment['status'], 'PAYMENT_STATUS_')}")
    stage.told.fact("amount", f"{money(payment['amount'])} by {payment['payment_method']}")
    stage.told.fact("at provider", payment["external_reference"])
    return payment


async def ledger(stage: Stage, booking: Json, lines: int) -> list[Json]:
    """The ledger's lines of a booking, oldest first, once there are so many."""

    async def entries() -> list[Json] | None:
        path = f"/v1/clinics/{booking['clinic_id']}/financial-entries"
        found: list[Json] = (await stage.admin.get(path, booking_id=booking["id"]))["entries"]
        return found[::-1] if len(found) >= lines else None

    return await stage.until(f"{lines} ledger lines of booking {booking['reference_code']}", entries)


def show_ledger(stage: Stage, sentence: str, entries: Sequence[Json]) -> Decimal:
    """Print the lines with their sum, and return the sum; cancelled lines do not count."""
    stage.told.step(sentence)
    columns = ("total_amount", "platform_fee", "clinic_amount", "tax_amount")
    rows = [
        (
            plain(entry["type"], "FINANCIAL_ENTRY_TYPE_"),
            *(_digits(Decimal(entry[column]["amount"])) for column in columns),
            plain(entry["status"], "FINANCIAL_ENTRY_STATUS_"),
        )
        for entry in entries
    ]
    counted = [entry for entry in entries if entry["status"] != "FINANCIAL_ENTRY_STATUS_CANCELLED"]
    sums = [sum((Decimal(entry[column]["amount"]) for entry in counted), Decimal(0)) for column in columns]
    head = ("", f"total {entries[0]['total_amount']['currency_code']}", "platform", "clinic", "tax", "")
    stage.told.table(head, [*rows, ("sum", *map(_digits, sums), "")], right=[1, 2, 3, 4])
    return sums[0]


async def read_terms(stage: Stage, person: Person, booking: Json) -> None:
    """What would come back of a booking, and by whose policy."""
    quote = await person.api.get(f"/v1/bookings/{booking['id']}/refund-quote")
    whose = "the service's own" if quote["policy_of_service"] else "the clinic's"
    stage.told.step(f"{person.name} reads what would come back, by {whose} policy")
    stage.told.fact("cancelled now", f"{money(quote['refund_amount'])}, {quote['refund_percent']} %")
    stage.told.fact("not coming", money(quote["no_show_refund_amount"]))


async def ask_to_cancel(stage: Stage, person: Person, booking: Json, choice: Choice, reason: str) -> Json:
    """Ask for a cancellation, and show what the policy gives back."""
    asked: Json = (await person.api.post(f"/v1/bookings/{booking['id']}:cancel", {"reason": reason}))["booking"]
    stage.told.step(f"{person.name} cancels: {reason}")
    policy = choice.service.get("cancellation_policy") or choice.clinic["cancellation_policy"]
    stage.told.fact("policy", _tiers(policy))
    stage.told.fact("now", f"{hours_until(booking['starts_at']):.0f} h before")
    stage.told.fact("goes back", f"{money(asked['refund_amount'])} of {money(booking['amount'])}")
    return asked


async def outcome_of_cancellation(stage: Stage, person: Person, booking: Json) -> Json:
    """Wait until the cancellation has gone through or was refused."""

    async def decided() -> Json | None:
        now = await booking_of(person.api, booking["id"])
        return now if now["cancellation_status"] != "CANCELLATION_STATUS_REQUESTED" else None

    return await stage.until("the cancellation to be decided", decided)


async def booking_of(api: Api, booking_id: str) -> Json:
    return dict((await api.get(f"/v1/bookings/{booking_id}"))["booking"])


async def seat(stage: Stage, choice: Choice) -> Json:
    """The chosen slot as it is now."""
    day = choice.slot["slot_date"]
    query = {"from_date": day, "to_date": day, "page_size": 100}
    slots = (await stage.visitor.get(f"/v1/services/{choice.service['id']}/slots", **query))["slots"]
    return dict(next(slot for slot in slots if slot["id"] == choice.slot["id"]))


def _own_policy(service: Json) -> str:
    policy = service.get("cancellation_policy")
    return f"back by its own policy {_tiers(policy)}" if policy else ""


def _tiers(policy: Json) -> str:
    return ", ".join(f"{tier['min_hours_before']} h before: {tier['refund_percent']} %" for tier in policy["tiers"])


def _free(slot: Json) -> int:
    return int(slot["capacity"]) - int(slot["booked_count"])


def _digits(amount: Decimal) -> str:
    return f"{amount:,.2f}"
