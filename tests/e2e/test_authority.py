"""Nobody reads or changes what is another's, and no clinic sees another's money."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from devstack.api import Api, Json, Refused
from tests.world import Clinic, Customer, World

NOT_FOUND, FORBIDDEN, UNAUTHENTICATED = 404, 403, 401


class Scene:
    """A booking and a hold, those whose they are, and those whose they are not."""

    def __init__(self, clinic: Clinic, other_clinic: Clinic, customer: Customer, stranger: Customer) -> None:
        self.clinic = clinic
        self.other_clinic = other_clinic
        self.customer = customer
        self.stranger = stranger
        self.booking: Json = {}
        self.reservation: Json = {}


@pytest.fixture
async def scene(world: World) -> Scene:
    made = Scene(
        *await asyncio.gather(world.clinic(), world.clinic(of_somebody_else=True), world.customer(), world.customer())
    )
    made.booking = await world.book(made.customer, made.clinic.slot(0))
    made.reservation = await world.hold(made.customer, made.clinic.slot(1))
    return made


async def _refusal(api: Api, method: str, path: str, **options: object) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        await api.call(method, path, **options)
    return refusal.value.status, refusal.value.reason


async def test_a_stranger_does_not_learn_that_a_booking_exists(world: World, scene: Scene) -> None:
    booking, reservation = scene.booking["id"], scene.reservation["id"]
    card = {"lock_id": scene.reservation["lock_id"], "payment_method": "card", "payment_token": "tok_success"}
    strangers = (scene.stranger.api, scene.other_clinic.owner)
    for stranger in strangers:
        for method, path, body, reason in (
            ("GET", f"/v1/bookings/{booking}", None, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{booking}:cancel", {}, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{booking}:checkIn", {}, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{booking}:complete", {}, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{booking}:noShow", {}, "BOOKING_NOT_FOUND"),
            ("POST", f"/v1/bookings/{booking}:reschedule", {"slot_id": scene.clinic.slot(2)}, "BOOKING_NOT_FOUND"),
            ("GET", f"/v1/reservations/{reservation}", None, "RESERVATION_NOT_FOUND"),
            ("POST", f"/v1/reservations/{reservation}:cancel", {}, "RESERVATION_NOT_FOUND"),
            ("POST", f"/v1/reservations/{reservation}:checkout", card, "RESERVATION_NOT_FOUND"),
            ("GET", f"/v1/payments/{scene.booking['payment_id']}", None, "PAYMENT_NOT_FOUND"),
        ):
            assert await _refusal(stranger, method, path, json=body) == (NOT_FOUND, reason), path
    assert (await world.booking(scene.customer.api, booking))["status"] == "BOOKING_STATUS_CONFIRMED"
    assert (await world.reservation(scene.customer, reservation))["checkout_status"] == "CHECKOUT_STATUS_NONE"


async def test_clinic_and_customer_see_the_booking_and_its_payment(world: World, scene: Scene) -> None:
    for api in (scene.customer.api, scene.clinic.owner, world.admin):
        assert (await world.booking(api, scene.booking["id"]))["id"] == scene.booking["id"]
        assert (await world.payment(api, scene.booking["payment_id"]))["booking_id"] == scene.booking["id"]


async def test_the_secret_of_a_hold_is_shown_to_its_customer_alone(world: World, scene: Scene) -> None:
    path = f"/v1/reservations/{scene.reservation['id']}"
    assert (await scene.customer.api.get(path))["reservation"]["lock_id"] == scene.reservation["lock_id"]
    for api in (scene.clinic.owner, world.admin):
        assert (await api.get(path))["reservation"]["lock_id"] == ""


async def test_lists_hold_only_what_is_the_callers(scene: Scene) -> None:
    assert (await scene.stranger.api.get("/v1/bookings"))["bookings"] == []
    assert [b["id"] for b in (await scene.customer.api.get("/v1/bookings"))["bookings"]] == [scene.booking["id"]]
    at_clinic = (await scene.clinic.owner.get("/v1/bookings", clinic_id=scene.clinic.id))["bookings"]
    assert [booking["id"] for booking in at_clinic] == [scene.booking["id"]]
    refused = await _refusal(scene.other_clinic.owner, "GET", "/v1/bookings", params={"clinic_id": scene.clinic.id})
    assert refused == (NOT_FOUND, "CLINIC_NOT_FOUND")


async def test_no_clinic_sees_anothers_money(world: World, scene: Scene) -> None:
    for path in (f"/v1/clinics/{scene.clinic.id}/financial-entries", f"/v1/clinics/{scene.clinic.id}/summary"):
        for api in (scene.other_clinic.owner, scene.stranger.api, scene.customer.api):
            assert await _refusal(api, "GET", path) in [(NOT_FOUND, "CLINIC_NOT_FOUND"), (FORBIDDEN, "FORBIDDEN")]
        assert await world.admin.get(path)
    entries = (await scene.clinic.owner.get(f"/v1/clinics/{scene.clinic.id}/financial-entries"))["entries"]
    assert {entry["booking_id"] for entry in entries} == {scene.booking["id"]}
    assert (await scene.other_clinic.owner.get(f"/v1/clinics/{scene.other_clinic.id}/financial-entries")) == {
        "entries": [],
        "next_page_token": "",
    }


async def test_only_the_owner_changes_a_clinic_and_only_an_administrator_approves(scene: Scene) -> None:
    clinic, service = scene.clinic.id, scene.clinic.service_id
    price = {"amount": "1.00", "currency_code": "IDR"}
    for api in (scene.other_clinic.owner, scene.stranger.api):
        for method, path, body in (
            ("PATCH", f"/v1/clinics/{clinic}", {"name": "Mine now"}),
            ("POST", f"/v1/clinics/{clinic}/services", {"service": {"name": "Mine", "price": price}}),
            ("PATCH", f"/v1/services/{service}", {"price": price}),
            ("POST", f"/v1/clinics/{clinic}/staff", {"staff": {"name": "Me", "role": "nurse", "email": "a@b.example"}}),
            ("POST", f"/v1/slots/{scene.clinic.slot(2)}:block", {}),
            ("POST", f"/v1/clinics/{clinic}:approve", {}),
            ("POST", f"/v1/clinics/{clinic}:suspend", {}),
        ):
            status, reason = await _refusal(api, method, path, json=body)
            assert status in (NOT_FOUND, FORBIDDEN), (path, reason)
    assert await _refusal(scene.clinic.owner, "POST", f"/v1/clinics/{clinic}:suspend", json={}) == (
        FORBIDDEN,
        "FORBIDDEN",
    )


async def test_another_persons_pet_cannot_be_read_changed_or_booked_for(world: World, scene: Scene) -> None:
    pet = f"/v1/pets/{scene.customer.pet_id}"
    for method, body in (("GET", None), ("PATCH", {"name": "Stolen"}), ("DELETE", None)):
        assert await _refusal(scene.stranger.api, method, pet, json=body) == (NOT_FOUND, "PET_NOT_FOUND")
    wanted = {"slot_id": scene.clinic.slot(2), "pet_id": scene.customer.pet_id}
    refused = await _refusal(scene.stranger.api, "POST", "/v1/reservations", json=wanted)
    assert refused == (NOT_FOUND, "PET_NOT_FOUND")
    assert await world.seats_taken(scene.clinic, scene.clinic.slot(2)) == 0


async def test_operations_are_for_administrators(scene: Scene) -> None:
    for api in (scene.customer.api, scene.clinic.owner):
        assert await _refusal(api, "GET", "/v1/operations/sagas") == (FORBIDDEN, "FORBIDDEN")
        assert await _refusal(api, "GET", f"/v1/operations/sagas/{uuid4()}") == (FORBIDDEN, "FORBIDDEN")
        for verb in ("retry", "skip", "compensate", "resolve"):
            act = {"expected_version": 1, "reason": "I want my money back", "outcome": "completed"}
            answer = await _refusal(api, "POST", f"/v1/operations/sagas/{uuid4()}:{verb}", json=act)
            assert answer == (FORBIDDEN, "FORBIDDEN"), verb


async def test_without_a_good_token_there_is_nothing(world: World, scene: Scene) -> None:
    paths = ["/v1/users/me", "/v1/pets", "/v1/bookings", "/v1/notifications", f"/v1/bookings/{scene.booking['id']}"]
    stale = scene.customer.token[:-4] + ("AAAA" if scene.customer.token[-4:] != "AAAA" else "BBBB")
    tokens = ["nonsense", stale, "a.b.c", ".".join(["eyJhbGciOiJub25lIn0", scene.customer.token.split(".")[1], ""])]
    for api in (world.visitor, *map(world.visitor.signed_in, tokens)):
        for path in paths:
            assert await _refusal(api, "GET", path) == (UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_a_forged_webhook_changes_nothing(world: World, scene: Scene) -> None:
    payment = await world.payment(scene.customer.api, scene.booking["payment_id"])
    event = {
        "id": "evt_forged",
        "type": "payment_intent.cancelled",
        "data": {"object": {"id": payment["external_reference"], "reference": payment["id"], "status": "cancelled"}},
    }
    for headers in ({}, {"Sandbox-Signature": "t=1,v1=00"}, {"Sandbox-Signature": "rubbish"}):
        answer: httpx.Response = await world.visitor.send("POST", "/v1/webhooks/sandbox", json=event, headers=headers)
        assert answer.status_code == UNAUTHENTICATED, answer.text
        assert Refused(answer).reason == "BAD_SIGNATURE"
    assert (await world.payment(scene.customer.api, scene.booking["payment_id"])) == payment
