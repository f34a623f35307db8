"""The auditor finds nothing where bookings of every kind stand, and names whatever is then planted."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from devstack.api import Json
from devstack.running import RunningStack
from devstack.testing import StartStack
from petproctl.audit.model import INVARIANTS
from tests.audit.corruptions import CORRUPTIONS, Corruption
from tests.audit.looking import look_over, named
from tests.waiting import eventually
from tests.world import NO_REFUND, Clinic, Customer, World, open_world

PARTS_THAT_WOULD_REPAIR = ("booking", "payment", "notification")
CHECKED_TABLES = ("slots", "reservations", "bookings", "payments", "refunds", "financial_entries")


@pytest.fixture(scope="module")
def audited(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack()


@pytest.mark.timeout(400)
async def test_what_is_planted_is_named_and_nothing_else_was(audited: RunningStack) -> None:
    async with open_world(audited) as world:
        made = await _bookings_of_every_kind(world)
        await eventually("a clean audit", lambda: _clean(audited))
        first = _run(audited)
        assert (first.returncode, json.loads(first.stdout)["clean"]) == (0, True)
        assert _run(audited, "--since", json.loads(first.stdout)["until"]).returncode == 0
        for part in PARTS_THAT_WOULD_REPAIR:
            await audited.stop_part(part)
        await asyncio.to_thread(_drop_checks, audited)
        before = named(await asyncio.to_thread(look_over, audited))
        missed = [one for one in CORRUPTIONS if not await _is_named(audited, one, made, before)]
        assert missed == []
        # The saga that waits for approval comes due while nobody is there to look at it, and is named rightly.
        left = {subject for _, subject in named(await asyncio.to_thread(look_over, audited)) - before}
        assert left.isdisjoint(made.values()), "a corruption outlived its turn"
        assert {one.invariant for one in CORRUPTIONS} == INVARIANTS.keys()
        await _plant_at_the_provider(world, made)


async def _clean(stack: RunningStack) -> bool:
    report = await asyncio.to_thread(look_over, stack)
    return not report.violations


async def _is_named(stack: RunningStack, one: Corruption, made: dict[str, str], before: set[tuple[str, str]]) -> bool:
    async with _planted(stack, one, made):
        found = named(await asyncio.to_thread(look_over, stack)) - before
    return any(name == one.invariant and made[one.subject] == subject for name, subject in found)


@asynccontextmanager
async def _planted(stack: RunningStack, one: Corruption, made: dict[str, str]) -> AsyncIterator[None]:
    """The corruption, past every trigger and foreign key; the table is put back afterwards."""
    table, superuser = sql.Identifier(one.table), _superuser(stack, one.service)
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(sql.SQL("CREATE TEMP TABLE saved AS TABLE {}").format(table))
        await connection.execute(one.plant.encode(), made)
        yield
        await connection.execute(sql.SQL("DELETE FROM {}").format(table))
        await connection.execute(sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE TABLE saved").format(table))


def _drop_checks(stack: RunningStack) -> None:
    """What the databases themselves refuse is to be found too, should they ever have let it in."""
    for service in ("booking", "payment", "notification"):
        with psycopg.connect(_superuser(stack, service), autocommit=True) as connection:
            checks = connection.execute(
                "SELECT conrelid::regclass::text, conname FROM pg_constraint"
                " WHERE contype = 'c' AND coninhcount = 0 AND conrelid::regclass::text = ANY(%s)",
                [[*CHECKED_TABLES, "deliveries"]],
            ).fetchall()
            for table, name in checks:
                drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
                connection.execute(drop.format(sql.Identifier(table), sql.Identifier(name)))


def _superuser(stack: RunningStack, service: str) -> str:
    url: str = stack.endpoints["postgres"]["dsn"]
    return url.removesuffix("/postgres") + f"/petpro_{service}"


async def _plant_at_the_provider(world: World, made: dict[str, str]) -> None:
    """A charge that nobody ordered, one taken twice, and money given back that nobody asked for."""
    stranger, giver = str(uuid4()), str(uuid4())
    charge = {"amount": "150000.00", "currency": "IDR", "payment_method": "card", "payment_token": "tok_success"}
    await _at_provider(world, "/v1/payment_intents", {**charge, "reference": stranger})
    again = await _at_provider(world, "/v1/payment_intents", {**charge, "reference": made["payment"]})
    await _at_provider(
        world, "/v1/refunds", {"payment_intent": again["id"], "amount": "1000.00", "reference": giver, "reason": "?"}
    )
    answer = await world.provider.post(f"/v1/test/refunds/{made['refund_at_provider']}/fail")
    answer.raise_for_status()
    await asyncio.sleep(1.2)
    found = named(await asyncio.to_thread(look_over, world.stack))
    assert found >= {
        ("charges-are-ours", stranger),
        ("charges-are-ours", made["payment"]),
        ("returns-are-ours", giver),
        ("returns-are-ours", made["refund"]),
        ("payments-agree-with-the-provider", made["cancelled_payment"]),
    }
    told = _run(world.stack)
    assert told.returncode == 1
    said = json.loads(told.stdout)
    assert not said["clean"]
    assert {(one["invariant"], one["subject"]) for one in said["violations"]} >= {("returns-are-ours", giver)}


async def _at_provider(world: World, path: str, body: Json) -> Json:
    answer = await world.provider.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    return dict(answer.raise_for_status().json())


def _run(stack: RunningStack, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "petproctl", "audit", "--json", "--grace", "1", "--pause", "0", *more]
    return subprocess.run(
        command, env={**os.environ, "PETPRO_RUN": str(stack.run)}, capture_output=True, text=True, check=False
    )


def test_who_cannot_look_says_so(audited: RunningStack) -> None:
    nowhere = _run(audited, "--dsn", "booking=postgresql://nobody@127.0.0.1:1/nowhere")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "booking cannot be read" in nowhere.stderr.replace("\n", " ")
    assert _run(audited, "--only", "no-such-thing").returncode == 2


async def _bookings_of_every_kind(world: World) -> dict[str, str]:
    """Booked, moved, visited, cancelled with and without a refund or by the clinic, sent back by the bank, held, given
    back, declined, waiting for approval, free of charge; by name the ids that corruptions are about."""
    clinic, person = await asyncio.gather(world.clinic(), world.customer())
    strict, picky, kind = await asyncio.gather(
        world.clinic(policy=NO_REFUND), world.clinic(requires_approval=True), world.clinic(price="0.00")
    )
    booked = await world.book(person, clinic.slot(0))
    cancelled = await _cancelled(world, person, clinic, 2)
    kept = await _cancelled(world, person, strict, 0)
    hold = await world.hold(person, clinic.slot(3))
    waiting = await world.hold(person, picky.slot(0))
    await world.checkout(person, waiting)
    await world.checkout_ends(person, waiting, "AWAITING_APPROVAL")
    await _the_rest(world, clinic, kind, person)
    return await _named_things(world, booked, cancelled) | {
        "kept": kept["id"],
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
    await clinic.owner.post(f"/v1/bookings/{visited['id']}:checkIn")
    await clinic.owner.post(f"/v1/bookings/{visited['id']}:complete")
    moved = await world.book(person, clinic.slot(5))
    await person.api.post(f"/v1/bookings/{moved['id']}:reschedule", {"slot_id": clinic.slot(6)})
    refused = await world.book(person, clinic.slot(7), "tok_refund_refused")
    await world.cancel(clinic.owner, refused["id"])
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
    at_provider = "SELECT external_reference AS id FROM refunds WHERE booking_id = %(booking)s"
    return {
        "booked": booked["id"],
        "slot": booked["slot_id"],
        "payment": booked["payment_id"],
        "booked_hold": await one("booking", hold, booking=booked["id"]),
        "saga": await one("booking", saga, booking=booked["id"]),
        "confirmed_event": confirmed,
        "message": f"booking:{confirmed}",
        "fee": await one("payment", entry, booking=booked["id"], type="booking_fee"),
        "cancelled": cancelled["id"],
        "cancelled_payment": cancelled["payment_id"],
        "refund": await one("payment", refund, booking=cancelled["id"]),
        "refund_entry": await one("payment", entry, booking=cancelled["id"], type="refund"),
        "refund_at_provider": await one("payment", at_provider, booking=cancelled["id"]),
        "mail": await eventually("a mail", lambda: one("notification", mail, booking=booked["id"])),
    }
