"""The whole way of a booking: paid, declined, approved, cancelled, refunded or not."""

import asyncio
from decimal import Decimal

from devstack.api import Json
from tests.waiting import eventually
from tests.world import NO_REFUND, Clinic, Customer, World

PRICE = "150000.00"
HALF_BACK = [{"min_hours_before": 8760, "refund_percent": 100}, {"min_hours_before": 0, "refund_percent": 50}]


async def _meet(world: World, **wishes: object) -> tuple[Clinic, Customer]:
    clinic, person = await asyncio.gather(world.clinic(**wishes), world.customer())  # type: ignore[arg-type]
    return clinic, person


def _sum(entries: list[Json]) -> Decimal:
    counted = [entry for entry in entries if entry["status"] != "FINANCIAL_ENTRY_STATUS_CANCELLED"]
    return sum((Decimal(entry["total_amount"]["amount"]) for entry in counted), Decimal(0))


def _kinds(entries: list[Json]) -> list[tuple[str, str]]:
    return [
        (e["type"].removeprefix("FINANCIAL_ENTRY_TYPE_"), e["status"].removeprefix("FINANCIAL_ENTRY_STATUS_"))
        for e in entries
    ]


async def _told(world: World, who: Customer, kind: str) -> Json:
    async def look() -> Json | None:
        found = (await who.api.get("/v1/notifications"))["notifications"]
        return next((each for each in found if each["type"] == kind), None)

    return await eventually(f"to be told {kind}", look)


async def test_what_is_paid_at_the_clinic_is_booked_and_cancelled_without_money_of_ours(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation, "", "pay_at_clinic")
    booking_id = (await world.checkout_ends(person, reservation, "CONFIRMED"))["booking_id"]
    booking = await world.booking(person.api, booking_id)
    assert (booking["status"], booking["payment_id"]) == ("BOOKING_STATUS_CONFIRMED", "")
    quoted = await person.api.get(f"/v1/bookings/{booking_id}/refund-quote")
    assert (quoted["refund_amount"]["amount"], quoted["kept_amount"]["amount"]) == ("0.00", "0.00")
    asked = await world.cancel(person.api, booking_id)
    assert asked["refund_amount"]["amount"] == "0.00"
    await world.saga_ends(f"cancellation:{booking_id}:", "completed")
    assert (await world.booking(person.api, booking_id))["status"] == "BOOKING_STATUS_CANCELLED"
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    assert "paid back" not in (await _told(world, person, "booking_cancelled"))["content"]


async def test_one_person_has_ten_bookings_to_come_that_nobody_has_paid_for(world: World) -> None:
    clinic, person = await asyncio.gather(world.clinic(capacity=9), world.customer())

    async def leave_to_clinic(slot: int) -> Json:
        reservation = await world.hold(person, clinic.slot(slot))
        await world.checkout(person, reservation, "", "pay_at_clinic")
        return await world.checkout_ends(person, reservation, "CONFIRMED")

    first, *_ = await asyncio.gather(*(leave_to_clinic(n) for n in range(10)))
    one_more = await world.hold(person, clinic.slot(1))
    at_clinic = {"lock_id": one_more["lock_id"], "payment_method": "pay_at_clinic"}
    refused = await person.api.send("POST", f"/v1/reservations/{one_more['id']}:checkout", json=at_clinic)
    info, retry = refused.json()["details"]
    assert (refused.status_code, info["reason"]) == (429, "TOO_MANY_UNPAID_BOOKINGS")
    assert info["metadata"] == {"most": "10"}
    assert float(retry["retry_delay"].removesuffix("s")) > 3600
    await world.cancel(person.api, first["booking_id"])
    await world.saga_ends(f"cancellation:{first['booking_id']}:", "completed")
    await world.checkout(person, one_more, "", "pay_at_clinic")
    await world.checkout_ends(person, one_more, "CONFIRMED")


async def test_a_method_that_the_provider_does_not_offer_is_refused_by_name(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation, "tok_success", "barter")
    failed = await world.checkout_ends(person, reservation, "FAILED")
    assert failed["failure_reason"] == "PAYMENT_METHOD_NOT_OFFERED"


async def test_a_visit_is_booked_paid_cancelled_and_paid_back(world: World) -> None:
    clinic, person = await _meet(world)
    booking = await world.book(person, clinic.slot())
    assert booking["status"] == "BOOKING_STATUS_CONFIRMED"
    assert booking["reference_code"].startswith("PP-")
    assert booking["amount"] == {"amount": PRICE, "currency_code": "IDR"}
    assert await world.seats_taken(clinic, clinic.slot()) == 1
    payment = await world.payment(person.api, booking["payment_id"])
    assert payment["status"] == "PAYMENT_STATUS_SUCCESS"
    [fee] = await world.ledger(booking)
    shares = ("platform_fee", "clinic_amount", "tax_amount")
    assert sum(Decimal(fee[share]["amount"]) for share in shares) == Decimal(PRICE)

    asked = await world.cancel(person.api, booking["id"])
    assert asked["refund_amount"]["amount"] == PRICE
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    cancelled = await world.booking(person.api, booking["id"])
    assert cancelled["status"] == "BOOKING_STATUS_CANCELLED"
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    assert (await world.payment(person.api, booking["payment_id"]))["status"] == "PAYMENT_STATUS_REFUNDED"
    [refund] = await world.refunds_at_provider(payment["external_reference"])
    assert (refund["status"], refund["amount"]) == ("succeeded", PRICE)
    entries = await world.ledger(booking)
    assert _kinds(entries) == [("BOOKING_FEE", "PENDING"), ("REFUND", "PENDING")]
    assert [_sum(entries)] == [Decimal(0)]
    told = await _told(world, person, "refund_settled")
    assert told["booking_id"] == booking["id"]
    await _told(world, person, "booking_cancelled")
    read = (await person.api.post(f"/v1/notifications/{told['id']}:read"))["notification"]
    assert read["is_read"] is True


async def test_a_declined_card_keeps_the_hold_and_another_card_pays(world: World) -> None:
    clinic, person = await _meet(world)
    reservation = await world.hold(person, clinic.slot())
    await world.checkout(person, reservation, "tok_declined")
    declined = await world.checkout_ends(person, reservation, "FAILED")
    assert declined["failure_reason"] == "CARD_DECLINED"
    assert declined["status"] == "RESERVATION_STATUS_PENDING"
    assert await world.seats_taken(clinic, clinic.slot()) == 1
    await _told(world, person, "payment_declined")
    await world.checkout(person, reservation, "tok_insufficient_funds")
    poor = await eventually("the second card to be declined", lambda: _failed_with(world, person, reservation))
    assert poor["failure_reason"] == "INSUFFICIENT_FUNDS"
    await world.checkout(person, reservation, "tok_success")
    confirmed = await world.checkout_ends(person, reservation, "CONFIRMED")
    booking = await world.booking(person.api, confirmed["booking_id"])
    assert booking["status"] == "BOOKING_STATUS_CONFIRMED"
    assert await world.seats_taken(clinic, clinic.slot()) == 1


async def _failed_with(world: World, person: Customer, reservation: Json) -> Json | None:
    now = await world.reservation(person, reservation["id"])
    return now if now["failure_reason"] not in ("", "CARD_DECLINED") else None


ODD_PROVIDERS = (
    "tok_processing",
    "tok_timeout_then_success",
    "tok_error_500_once",
    "tok_webhook_twice",
    "tok_webhook_late:0.5",
    "tok_webhook_out_of_order:0.5",
    "tok_webhook_never",
    "tok_refund_timeout",
    "tok_refund_slow:0.5",
)


async def test_whatever_the_provider_does_money_is_taken_once_and_goes_back_once(world: World) -> None:
    clinic, person = await _meet(world)

    async def there_and_back(number: int, means: str) -> None:
        booking = await world.book(person, clinic.slot(number), means)
        intents = (await world.provider.get("/v1/payment_intents", params={"reference": booking["payment_id"]})).json()
        assert [intent["amount_captured"] for intent in intents["data"]] == [PRICE], means
        await world.cancel(person.api, booking["id"])
        await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
        refunds = await world.refunds_at_provider(intents["data"][0]["id"])
        assert [(refund["status"], refund["amount"]) for refund in refunds] == [("succeeded", PRICE)], means

    await asyncio.gather(*(there_and_back(number, means) for number, means in enumerate(ODD_PROVIDERS)))


async def test_a_refused_refund_leaves_booking_and_ledger_as_before(world: World) -> None:
    clinic, person = await _meet(world)
    booking = await world.book(person, clinic.slot(), "tok_refund_refused")
    before = _sum(await world.ledger(booking))
    await world.cancel(person.api, booking["id"])
    saga = await world.saga_ends(f"cancellation:{booking['id']}:", "compensated")
    after = await world.booking(person.api, booking["id"])
    assert after["status"] == "BOOKING_STATUS_CONFIRMED"
    assert after["cancellation_status"] == "CANCELLATION_STATUS_REFUSED"
    assert after["reference_code"] == booking["reference_code"]
    assert await world.seats_taken(clinic, clinic.slot()) == 1
    entries = await world.ledger(booking)
    assert _kinds(entries)[1] == ("REFUND", "CANCELLED")
    assert _sum(entries) == before
    assert (await world.payment(person.api, booking["payment_id"]))["status"] == "PAYMENT_STATUS_SUCCESS"
    await _told(world, person, "cancellation_refused")
    timeline = (await world.admin.get(f"/v1/operations/sagas/{saga['id']}"))["saga"]["timeline"]
    refused = [line for line in timeline if line["kind"] == "refused"]
    assert [(line["step"], line["detail"]) for line in refused] == [("submit_refund", "REFUND_REFUSED")]
    undone = [line["step"] for line in timeline if (line["direction"], line["kind"]) == ("backward", "succeeded")]
    assert undone == ["post_refund_entry", "reserve_refund", "request"]


async def test_after_a_refused_refund_the_booking_can_be_cancelled_by_the_clinic(world: World) -> None:
    clinic, person = await _meet(world)
    booking = await world.book(person, clinic.slot(), "tok_refund_refused")
    await world.cancel(person.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "compensated")
    await world.cancel(clinic.owner, booking["id"])

    async def cancelled() -> Json | None:
        now = await world.booking(person.api, booking["id"])
        return now if now["refund_status"] == "manual" else None

    now = await eventually("the refund to wait for a person", cancelled)
    assert now["status"] == "BOOKING_STATUS_CANCELLED"
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    await _told(world, person, "refund_delayed")
    await _no_longer_under_way(world, clinic)


async def _no_longer_under_way(world: World, clinic: Clinic) -> None:
    """A refund that waits for a person waits with its saga: the rest of the invariants cannot be asked for."""
    world.clinics.remove(clinic.id)


async def test_a_strict_policy_gives_nothing_back_and_the_money_steps_are_skipped(world: World) -> None:
    clinic, person = await _meet(world, policy=NO_REFUND)
    booking = await world.book(person, clinic.slot())
    asked = await world.cancel(person.api, booking["id"])
    assert asked["refund_amount"]["amount"] == "0.00"
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    assert (await world.booking(person.api, booking["id"]))["refund_status"] == "none"
    assert await world.seats_taken(clinic, clinic.slot()) == 0
    assert _kinds(await world.ledger(booking))[1:] == []
    payment = await world.payment(person.api, booking["payment_id"])
    assert await world.refunds_at_provider(payment["external_reference"]) == []


async def test_half_a_refund_is_split_to_the_cent(world: World) -> None:
    clinic, person = await _meet(world, policy=HALF_BACK, price="99999.99")
    booking = await world.book(person, clinic.slot())
    await world.cancel(person.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    fee, refund = await world.ledger(booking)
    assert Decimal(refund["total_amount"]["amount"]) == -Decimal("50000.00")
    for entry in (fee, refund):
        shares = sum(Decimal(entry[share]["amount"]) for share in ("platform_fee", "clinic_amount", "tax_amount"))
        assert shares == Decimal(entry["total_amount"]["amount"])
    status = (await world.payment(person.api, booking["payment_id"]))["status"]
    assert status == "PAYMENT_STATUS_PARTIALLY_REFUNDED"


async def test_a_clinic_cancels_at_a_hundred_percent_whatever_its_policy(world: World) -> None:
    clinic, person = await _meet(world, policy=NO_REFUND)
    booking = await world.book(person, clinic.slot())
    await world.cancel(clinic.owner, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    assert (await world.booking(person.api, booking["id"]))["refund_amount"]["amount"] == PRICE


async def test_a_booking_moves_to_another_slot_and_its_seat_with_it(world: World) -> None:
    clinic, person = await _meet(world)
    booking = await world.book(person, clinic.slot(0))
    moved = (await person.api.post(f"/v1/bookings/{booking['id']}:reschedule", {"slot_id": clinic.slot(1)}))["booking"]
    assert (moved["slot_id"], moved["reference_code"]) == (clinic.slot(1), booking["reference_code"])
    assert [await world.seats_taken(clinic, clinic.slot(number)) for number in (0, 1)] == [0, 1]
