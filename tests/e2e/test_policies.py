"""Policies through the gateway: of single services, and the fee of who does not come. What is told is what is paid."""

from decimal import Decimal

import pytest

from devstack.api import Api, Json, Refused
from tests.waiting import eventually
from tests.world import NO_REFUND, TEN_DAYS_BEFORE, World

HALF_BACK = [{"min_hours_before": 0, "refund_percent": 50}]
OWN = {"tiers": HALF_BACK, "no_show_fee_percent": 60}


async def _quoted(api: Api, booking: Json) -> Json:
    return await api.get(f"/v1/bookings/{booking['id']}/refund-quote")


async def _given_back(world: World, booking: Json) -> list[Decimal]:
    """What the provider has given back, once booking has heard of it."""

    async def succeeded() -> bool:
        return bool((await world.booking(world.admin, booking["id"]))["refund_status"] == "succeeded")

    await eventually("the refund to succeed", succeeded)
    payment = await world.payment(world.admin, booking["payment_id"])
    return [Decimal(each["amount"]) for each in await world.refunds_at_provider(payment["external_reference"])]


async def test_a_services_own_policy_is_told_and_paid_whatever_it_becomes(world: World) -> None:
    clinic, person = await world.clinic(policy=NO_REFUND, own_policy=OWN), await world.customer()
    booking = await world.book(person, clinic.slot())
    path = f"/v1/services/{clinic.service_id}"
    assert (await world.visitor.get(path))["service"]["cancellation_policy"] == {**OWN, "version": 1}
    with pytest.raises(Refused, match="FORBIDDEN"):
        await person.api.call("PATCH", path, json={"cancellation_policy": OWN})
    without = await clinic.owner.call("PATCH", path, json={}, params={"update_mask": "cancellation_policy"})
    assert without["service"].get("cancellation_policy") is None
    again = await clinic.owner.call("PATCH", path, json={"cancellation_policy": {"tiers": []}})
    assert again["service"]["cancellation_policy"] == {"tiers": [], "no_show_fee_percent": 100, "version": 2}

    told = await _quoted(person.api, booking)
    assert (told["refund_amount"]["amount"], told["refund_percent"], told["policy_version"]) == ("75000.00", 50, 1)
    assert told["policy_of_service"] is True
    await world.cancel(person.api, booking["id"])
    assert await _given_back(world, booking) == [Decimal(told["refund_amount"]["amount"])]


async def test_who_does_not_come_gets_back_what_the_fee_leaves(world: World) -> None:
    clinic, person = await world.clinic(policy=HALF_BACK, no_show_fee=60), await world.customer()
    booking = await world.book(person, clinic.slot())
    told = await _quoted(person.api, booking)
    assert (told["no_show_refund_amount"]["amount"], told["policy_of_service"]) == ("60000.00", False)
    strict = {"cancellation_policy": {"tiers": [], "no_show_fee_percent": 100}}
    await clinic.owner.call("PATCH", f"/v1/clinics/{clinic.id}", json=strict)

    marked = await world.miss(clinic.owner, booking["id"])
    assert (marked["status"], marked["refund_amount"]) == ("BOOKING_STATUS_NO_SHOW", told["no_show_refund_amount"])
    await world.saga_ends(f"no_show:{booking['id']}", "completed")
    assert await _given_back(world, booking) == [Decimal("60000.00")]
    fee, refund = await world.ledger(booking)
    assert Decimal(refund["total_amount"]["amount"]) == -Decimal("60000.00")
    for share in ("platform_fee", "clinic_amount", "tax_amount"):
        assert Decimal(refund[share]["amount"]) == -Decimal(fee[share]["amount"]) * Decimal("0.4")


async def test_a_clinic_that_moves_a_booking_takes_nothing_of_what_goes_back(world: World) -> None:
    clinic, person = await world.clinic(policy=TEN_DAYS_BEFORE), await world.customer()
    [later, *_] = await world.slots(clinic.owner, clinic.service_id, 1, days_ahead=20)
    cancelled, missed = await world.book(person, later["id"]), await world.book(person, clinic.slot(5))
    told = await _quoted(person.api, cancelled)
    await clinic.owner.post(f"/v1/bookings/{cancelled['id']}:reschedule", {"slot_id": clinic.slot(0)})
    now_told = await _quoted(person.api, cancelled)
    assert now_told["refund_amount"] == now_told["no_show_refund_amount"] == told["refund_amount"]
    assert "valid_until" not in now_told
    await world.cancel(person.api, cancelled["id"])
    assert await _given_back(world, cancelled) == [Decimal("150000.00")]

    assert (await _quoted(person.api, missed))["refund_amount"]["amount"] == "0.00"
    await clinic.owner.post(f"/v1/bookings/{missed['id']}:reschedule", {"slot_id": later["id"]})
    await clinic.owner.post(f"/v1/bookings/{missed['id']}:reschedule", {"slot_id": clinic.slot(1)})
    assert (await world.miss(clinic.owner, missed["id"]))["refund_amount"]["amount"] == "150000.00"
    await world.saga_ends(f"no_show:{missed['id']}", "completed")
    assert await _given_back(world, missed) == [Decimal("150000.00")]


async def test_a_fee_under_which_it_pays_to_stay_away_is_refused(world: World) -> None:
    clinic = await world.clinic(policy=HALF_BACK)
    cheap = {"cancellation_policy": {"tiers": HALF_BACK, "no_show_fee_percent": 49}}
    with pytest.raises(Refused) as refused:
        await clinic.owner.call("PATCH", f"/v1/services/{clinic.service_id}", json=cheap)
    assert refused.value.fields == ["service.cancellation_policy.no_show_fee_percent"]
