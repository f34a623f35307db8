"""What is wrong gets a clear, typed refusal, and nothing is half-written."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from devstack.api import Api, Json, Refused
from tests.world import Clinic, Customer, World

NOWHERE = "01920000-0000-7000-8000-000000000000"
RANDOM = "3f0c9c1e-8a52-4b6f-9f0e-2d9a4c1b7e55"


async def _refused(api: Api, method: str, path: str, body: Any = None, **options: Any) -> Refused:
    with pytest.raises(Refused) as refusal:
        await api.call(method, path, **({"json": body} if body is not None else {}), **options)
    assert refusal.value.domain, refusal.value
    assert refusal.value.body["message"]
    return refusal.value


async def _meet(world: World) -> tuple[Clinic, Customer]:
    clinic, person = await asyncio.gather(world.clinic(), world.customer())
    return clinic, person


async def _rows_of(world: World, person: Customer, clinic: Clinic) -> Json:
    """How much there is of this person and clinic, in every database."""
    counts: Json = {}
    owned = {"user": person.id, "clinic": clinic.id}
    for service, statement in (
        ("account", "SELECT count(*) FROM pets WHERE user_id = %(user)s"),
        ("catalog", "SELECT count(*) FROM services WHERE clinic_id = %(clinic)s"),
        ("booking", "SELECT count(*) FROM reservations WHERE user_id = %(user)s"),
        ("booking", "SELECT count(*) FROM slots WHERE clinic_id = %(clinic)s"),
        ("booking", "SELECT count(*) FROM sagas WHERE data->>'user_id' = %(user)s::text"),
        ("booking", "SELECT sum(booked_count) AS count FROM slots WHERE clinic_id = %(clinic)s"),
        ("payment", "SELECT count(*) FROM payments WHERE clinic_id = %(clinic)s"),
        ("payment", "SELECT count(*) FROM financial_entries WHERE clinic_id = %(clinic)s"),
    ):
        [row] = await world.rows(service, statement, **owned)
        counts[f"{service}: {statement}"] = row["count"]
    return counts


async def test_unknown_ids_are_said_to_be_unknown(world: World) -> None:
    clinic, person = await _meet(world)
    before = await _rows_of(world, person, clinic)
    reservation = {"pet_id": person.pet_id, "slot_id": NOWHERE}
    card = {"lock_id": "x", "payment_method": "card"}
    for unknown in (NOWHERE, RANDOM, str(uuid4())):
        for method, path, body, reason in (
            ("GET", f"/v1/pets/{unknown}", None, "PET_NOT_FOUND"),
            ("GET", f"/v1/clinics/{unknown}", None, "CLINIC_NOT_FOUND"),
            ("GET", f"/v1/services/{unknown}", None, "SERVICE_NOT_FOUND"),
            ("POST", "/v1/reservations", {**reservation, "slot_id": unknown}, "SLOT_NOT_FOUND"),
            ("POST", "/v1/reservations", {"slot_id": clinic.slot(), "pet_id": unknown}, "PET_NOT_FOUND"),
            ("GET", f"/v1/reservations/{unknown}", None, "RESERVATION_NOT_FOUND"),
            ("POST", f"/v1/reservations/{unknown}:checkout", card, "RESERVATION_NOT_FOUND"),
            ("POST", f"/v1/reservations/{unknown}:cancel", {}, "RESERVATION_NOT_FOUND"),
            ("GET", f"/v1/bookings/{unknown}", None, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{unknown}:cancel", {}, "BOOKING_NOT_FOUND"),
            ("GET", f"/v1/payments/{unknown}", None, "PAYMENT_NOT_FOUND"),
            ("DELETE", f"/v1/slots/{unknown}", None, "SLOT_NOT_FOUND"),
            ("POST", f"/v1/notifications/{unknown}:read", {}, "NOTIFICATION_NOT_FOUND"),
        ):
            refusal = await _refused(person.api, method, path, body)
            assert (refusal.status, refusal.reason) == (404, reason), (method, path, refusal)
    refusal = await _refused(world.admin, "GET", f"/v1/operations/sagas/{NOWHERE}")
    assert (refusal.status, refusal.reason) == (404, "SAGA_NOT_FOUND")
    assert await _rows_of(world, person, clinic) == before


async def test_ids_that_are_none_are_invalid(world: World) -> None:
    person = await world.customer()
    for malformed in ("x", "123", "..", "' OR 1=1 --", "0" * 400):
        for body, field in (
            ({"slot_id": malformed, "pet_id": person.pet_id}, "slot_id"),
            ({"slot_id": NOWHERE, "pet_id": malformed}, "pet_id"),
        ):
            refusal = await _refused(person.api, "POST", "/v1/reservations", body)
            assert (refusal.status, refusal.reason, refusal.fields) == (400, "INVALID_REQUEST", [field])


async def test_all_broken_rules_are_listed_at_once(world: World) -> None:
    body = {"email": "x", "password": "short", "full_name": "", "phone_number": "1"}
    refusal = await _refused(world.visitor, "POST", "/v1/users", body)
    assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST")
    assert {"email", "password", "full_name", "phone_number"} <= {*refusal.fields}


async def test_absurd_prices_are_refused(world: World) -> None:
    clinic, person = await _meet(world)
    before = await _rows_of(world, person, clinic)
    absurd = ["-1.00", "-0.01", "9" * 20, "1e9", "NaN", "Infinity", "", "1.001", "1,00", "१२", "0x10"]
    prices = [(amount, "IDR") for amount in absurd]
    prices += [("10.00", currency) for currency in ("", "idr", "RUPIAH", "I R", "12$")]
    for amount, currency in [*prices, ("10.50", "JPY")]:
        service = {"name": "Absurd", "price": {"amount": amount, "currency_code": currency}}
        refusal = await _refused(clinic.owner, "POST", f"/v1/clinics/{clinic.id}/services", {"service": service})
        assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST"), (amount, currency)
        assert any("price" in name for name in refusal.fields), refusal.fields
    assert await _rows_of(world, person, clinic) == before


async def test_slots_of_no_possible_time_or_size_are_refused(world: World) -> None:
    clinic = await world.clinic()
    day = "2999-01-01"
    for from_date, to_date, capacity, field in (
        ("2020-01-01", "2020-01-02", 1, "from_date"),
        ("2999-01-02", day, 1, "to_date"),
        (day, "2999-12-31", 1, "to_date"),
        ("2999-02-30", "2999-03-01", 1, "from_date"),
        ("tomorrow", day, 1, "from_date"),
        (day, day, -1, "capacity"),
        (day, day, 100_000, "capacity"),
    ):
        wish = {"from_date": from_date, "to_date": to_date, "capacity": capacity}
        refusal = await _refused(clinic.owner, "POST", f"/v1/services/{clinic.service_id}/slots:generate", wish)
        assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST"), wish
        assert field in refusal.fields, wish


async def test_a_slot_that_has_begun_cannot_be_held(world: World) -> None:
    clinic, person = await _meet(world)
    await world.rows(
        "booking",
        "UPDATE slots SET starts_at = now() - interval '1 min', ends_at = now() + interval '1 h' WHERE id = %(id)s",
        id=clinic.slot(),
    )
    await world.hold(person, clinic.slot(1))
    refusal = await _refused(person.api, "POST", "/v1/reservations", _wanted(clinic, person))
    assert (refusal.status, refusal.reason) == (400, "SLOT_IN_PAST")
    assert await world.seats_taken(clinic, clinic.slot()) == 0


async def test_a_blocked_slot_cannot_be_held_until_it_is_unblocked(world: World) -> None:
    clinic, person = await _meet(world)
    await world.hold(person, clinic.slot(1))
    await clinic.owner.post(f"/v1/slots/{clinic.slot()}:block")
    refusal = await _refused(person.api, "POST", "/v1/reservations", _wanted(clinic, person))
    assert (refusal.status, refusal.reason) == (400, "SLOT_BLOCKED")
    await clinic.owner.post(f"/v1/slots/{clinic.slot()}:unblock")
    await world.hold(person, clinic.slot())


def _wanted(clinic: Clinic, person: Customer) -> Json:
    return {"slot_id": clinic.slot(), "pet_id": person.pet_id}


async def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    path = f"/v1/reservations/{reservation['id']}"
    wrong_lock = {"lock_id": "guessed", "payment_method": "card", "payment_token": "tok_success"}
    assert (await _refused(person.api, "POST", f"{path}:checkout", wrong_lock)).reason == "WRONG_LOCK_ID"
    assert (await _refused(clinic.owner, "POST", f"{path}:approve", {})).reason == "NOT_AWAITING_APPROVAL"
    await world.checkout(person, reservation)
    confirmed = await world.checkout_ends(person, reservation, "CONFIRMED")
    again = {**wrong_lock, "lock_id": reservation["lock_id"]}
    assert (await _refused(person.api, "POST", f"{path}:checkout", again)).reason == "RESERVATION_NOT_PENDING"
    assert (await _refused(person.api, "POST", f"{path}:cancel", {})).reason == "RESERVATION_NOT_PENDING"
    booking = f"/v1/bookings/{confirmed['booking_id']}"
    assert (await _refused(clinic.owner, "POST", f"{booking}:complete", {})).reason == "WRONG_BOOKING_STATUS"
    assert (await _refused(person.api, "POST", f"{booking}/review", {"rating": 5})).reason == "BOOKING_NOT_REVIEWABLE"
    await world.cancel(person.api, confirmed["booking_id"])
    await world.saga_ends(f"cancellation:{confirmed['booking_id']}:", "completed")
    for verb in ("cancel", "checkIn", "complete", "noShow"):
        refusal = await _refused(clinic.owner, "POST", f"{booking}:{verb}", {})
        assert (refusal.status, refusal.reason) == (400, "WRONG_BOOKING_STATUS"), verb


async def test_texts_that_cannot_be_kept_are_refused(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    card = {"lock_id": reservation["lock_id"], "payment_method": "card", "payment_token": "tok_success"}
    checkout = f"/v1/reservations/{reservation['id']}:checkout"
    refusal = await _refused(person.api, "POST", checkout, {**card, "notes": "Moko\x00"})
    assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST")
    await world.checkout(person, reservation)
    confirmed = await world.checkout_ends(person, reservation, "CONFIRMED")
    booking = f"/v1/bookings/{confirmed['booking_id']}"
    refusal = await _refused(person.api, "POST", f"{booking}:cancel", {"reason": "\x00"})
    assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST")
    assert (await world.booking(person.api, confirmed["booking_id"]))["status"] == "BOOKING_STATUS_CONFIRMED"


async def test_a_query_that_is_not_utf8_is_refused(world: World) -> None:
    for octets in ("%FF", "%ED%A0%80"):
        refusal = await _refused(world.visitor, "GET", f"/v1/clinics?query={octets}")
        assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST")


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(world: World) -> None:
    person = await world.customer()
    answer = await world.visitor.send("POST", "/v1/users", content=b'{"full_name": "' + b"x" * (2 << 20) + b'"}')
    assert (answer.status_code, Refused(answer).reason) == (413, "BODY_TOO_LARGE")
    pets = await world.rows("account", "SELECT id FROM pets WHERE user_id = %(id)s", id=person.id)
    assert len(pets) == 1


async def test_a_body_that_cannot_be_read_is_refused(world: World) -> None:
    person = await world.customer()
    for content in (b"{", b"[1, 2]", b'{"pet": 7}', b'{"pet": {"name": {"a": 1}}}', b"\xff\xfe\x00"):
        answer = await person.api.send("POST", "/v1/pets", content=content)
        assert (answer.status_code, Refused(answer).reason) == (400, "INVALID_REQUEST"), answer.text


async def test_what_is_no_route_or_no_parameter_is_said_to_be_none(world: World) -> None:
    refusal = await _refused(world.visitor, "GET", "/v1/teapots")
    assert (refusal.status, refusal.reason) == (404, "ROUTE_NOT_FOUND")
    refusal = await _refused(world.visitor, "DELETE", "/v1/clinics")
    assert (refusal.status, refusal.reason) == (405, "METHOD_NOT_ALLOWED")
    refusal = await _refused(world.visitor, "GET", "/v1/clinics", params={"colour": "red"})
    assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST")
    for query in ({"page_size": -1}, {"page_size": 100000}, {"latitude": 91, "longitude": 0}, {"radius_km": -5}):
        refusal = await _refused(world.visitor, "GET", "/v1/clinics", params=query)
        assert (refusal.status, refusal.reason) == (400, "INVALID_REQUEST"), query
    refusal = await _refused(world.visitor, "GET", "/v1/clinics", params={"page_token": "made up"})
    assert (refusal.status, refusal.reason) == (400, "BAD_PAGE_TOKEN")


async def test_one_address_in_two_spellings_is_one_person(world: World) -> None:
    person = await world.customer()
    body = {
        "email": person.email.upper(),
        "password": uuid4().hex,
        "full_name": "Somebody Else",
        "phone_number": "+628123456780",
    }
    refusal = await _refused(world.visitor, "POST", "/v1/users", body)
    assert (refusal.status, refusal.reason) == (409, "EMAIL_TAKEN")


async def test_nobody_registers_as_an_administrator(world: World) -> None:
    body = {
        "email": f"{uuid4().hex}@example.com",
        "password": uuid4().hex,
        "full_name": "Mallory",
        "phone_number": "+628123456780",
        "role": "ROLE_ADMIN",
    }
    refusal = await _refused(world.visitor, "POST", "/v1/users", body)
    assert refusal.status in (400, 403)
    assert await world.rows("account", "SELECT id FROM users WHERE email = %(email)s", email=body["email"]) == []
