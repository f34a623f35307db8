"""Bookings of every kind, made through the API, and the ids of what belongs to them."""

import asyncio
from typing import Any

from devstack.api import Json
from tests.waiting import eventually
from tests.world import FULL_REFUND, NO_REFUND, TEN_DAYS_BEFORE, Clinic, Customer, World


async def bookings_of_every_kind(world: World) -> dict[str, str]:
    """Booked, moved, visited, cancelled with and without a refund or by the clinic, sent back by the bank, missed,
    held, given back, declined, waiting for approval, free of charge; by name the ids that corruptions are about."""
    clinic, person = await asyncio.gather(world.clinic(), world.customer())
    strict, picky, kind = await asyncio.gather(
        world.clinic(policy=NO_REFUND), world.clinic(requires_approval=True), world.clinic(price="0.00")
    )
    booked = await world.book(person, clinic.slot(0))
    cancelled = await _cancelled(world, person, clinic, 2)
    kept = await _cancelled(world, person, strict, 0)
    missed = await _missed(world, person)
    hold = await world.hold(person, clinic.slot(3))
    waiting = await world.hold(person, picky.slot(0))
    await world.checkout(person, waiting)
    await world.checkout_ends(person, waiting, "AWAITING_APPROVAL")
    await _the_rest(world, clinic, kind, person)
    [settlement] = await world.settle(clinic.id)
    return await _named_things(world, booked, cancelled) | {
        "settlement": settlement["id"],
        "kept": kept["id"],
        "missed": missed["id"],
        "hold": hold["id"],
        "waiting": waiting["id"],
        "held_slot": clinic.slot(3),
        "next_slot": clinic.slot(1),
        "customer": person.id,
        "parked": "payment:1",
    }


async def _the_rest(world: World, clinic: Clinic, kind: Clinic, person: Customer) -> None:
    """What is there only to raise no alarm."""
    visited = await world.book(person, clinic.slot(4))
    await world.visit(clinic.owner, visited["id"])
    moved = await world.book(person, clinic.slot(5))
    await person.api.post(f"/v1/bookings/{moved['id']}:reschedule", {"slot_id": clinic.slot(6)})
    refused = await world.book(person, clinic.slot(7), "tok_refund_refused")
    await world.cancel(clinic.owner, refused["id"])
    await _moved_by_the_clinic_and_cancelled(world, person)
    sent_back = await _cancelled(world, person, clinic, 8)
    payment = await world.payment(person.api, sent_back["payment_id"])
    [refund] = await world.refunds_at_provider(payment["external_reference"])
    (await world.provider.post(f"/v1/test/refunds/{refund['id']}/fail")).raise_for_status()
    await world.book(person, kind.slot(0))
    declined = await world.hold(person, clinic.slot(9))
    await world.checkout(person, declined, "tok_declined")
    await world.checkout_ends(person, declined, "FAILED")


async def _cancelled(world: World, person: Customer, clinic: Clinic, number: int) -> Json:
    booking = await world.book(person, clinic.slot(number))
    await world.cancel(person.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    return booking


async def _moved_by_the_clinic_and_cancelled(world: World, person: Customer) -> None:
    clinic = await world.clinic(policy=TEN_DAYS_BEFORE)
    [later, *_] = await world.slots(clinic.owner, clinic.service_id, 1, days_ahead=20)
    booking = await world.book(person, later["id"])
    await clinic.owner.post(f"/v1/bookings/{booking['id']}:reschedule", {"slot_id": clinic.slot()})
    await world.cancel(person.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")


async def _missed(world: World, person: Customer) -> Json:
    clinic = await world.clinic(policy=FULL_REFUND, no_show_fee=60)
    booking = await world.book(person, clinic.slot(0))
    await world.miss(clinic.owner, booking["id"])
    await world.saga_ends(f"no_show:{booking['id']}", "completed")
    return booking


async def _named_things(world: World, booked: Json, cancelled: Json) -> dict[str, str]:
    async def one(service: str, statement: str, **values: Any) -> str:
        [row] = await world.rows(service, statement, **values)
        return str(row["id"])

    event = """SELECT id FROM outbox WHERE subject LIKE 'petpro.events.%%'
        AND (convert_from(payload, 'UTF8')::jsonb) @> jsonb_build_object('event_type', 'booking.confirmed',
            'booking_id', %(booking)s::text)"""
    confirmed = await one("booking", event, booking=booked["id"])
    refund = "SELECT id FROM refunds WHERE booking_id = %(booking)s"
    entry = "SELECT id FROM financial_entries WHERE booking_id = %(booking)s AND type = %(type)s"
    mail = "SELECT d.id FROM deliveries d JOIN notifications n ON n.id = notification_id WHERE booking_id = %(booking)s"
    saga = "SELECT id FROM sagas WHERE saga_type = 'checkout' AND data->>'booking_id' = %(booking)s"
    hold = "SELECT id FROM reservations WHERE booking_id = %(booking)s"
    capture = "SELECT id FROM journal_transactions WHERE kind = 'capture' AND source_id = %(payment)s::uuid"
    at_provider = "SELECT external_reference AS id FROM refunds WHERE booking_id = %(booking)s"
    return {
        "booked": booked["id"],
        "slot": booked["slot_id"],
        "payment": booked["payment_id"],
        "booked_hold": await one("booking", hold, booking=booked["id"]),
        "saga": await one("booking", saga, booking=booked["id"]),
        "confirmed_event": confirmed,
        "message": f"booking:{confirmed}",
        "capture": await one("payment", capture, payment=booked["payment_id"]),
        "fee": await one("payment", entry, booking=booked["id"], type="booking_fee"),
        "cancelled": cancelled["id"],
        "cancelled_payment": cancelled["payment_id"],
        "refund": await one("payment", refund, booking=cancelled["id"]),
        "refund_entry": await one("payment", entry, booking=cancelled["id"], type="refund"),
        "refund_at_provider": await one("payment", at_provider, booking=cancelled["id"]),
        "mail": await eventually("a mail", lambda: one("notification", mail, booking=booked["id"])),
    }
