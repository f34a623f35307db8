"""An administrator settles a clinic, prints its statement, exports the books, and ends what waits for a person."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devstack.api import Refused
from tests import invariants
from tests.terminal import Said, petproctl
from tests.waiting import eventually
from tests.world import World

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
REASON = ("--reason", "the card is closed")
VERBS = ("retry_refund", "pay_out_refund")
OPERATIONS = "SELECT operator, verb, reason FROM money_operations WHERE subject_id = %(id)s"


async def money(world: World, *words: str) -> Said:
    return await done(world, "money", *words)


async def settlement(world: World, *words: str) -> Said:
    return await done(world, "settlement", *words)


async def done(world: World, *words: str) -> Said:
    said = await petproctl(world.stack, *words)
    assert said.code == 0, said.out + said.err
    return said


async def test_a_clinic_is_settled_and_prints_its_statement(world: World, tmp_path: Path) -> None:
    clinic, person = await world.clinic(), await world.customer()
    booking = await world.book(person, clinic.slot())
    [fee] = await world.ledger(booking)
    assert fee["status"] == "FINANCIAL_ENTRY_STATUS_PENDING"
    [made] = await world.settle(clinic.id)
    until = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    again = ("run", "--clinic", clinic.id, "--until", until, "--reason", "November", "--json")
    assert (await settlement(world, *again)).json["settlements"] == []
    assert made["clinic_amount"] == fee["clinic_amount"]
    assert await world.settle(clinic.id) == []
    [fee] = await world.ledger(booking)
    assert (fee["status"], fee["settlement_date"]) == ("FINANCIAL_ENTRY_STATUS_SETTLED", made["settled_at"])

    [listed] = (await settlement(world, "list", clinic.id, "--json")).json["settlements"]
    assert listed["id"] == made["id"]
    printed = tmp_path / "statement.html"
    await settlement(world, "statement", made["id"], "--format", "html", "--out", str(printed))
    assert booking["id"] in printed.read_text()
    lines = (await settlement(world, "statement", made["id"])).out.splitlines()
    assert len(lines) == 3
    assert (await clinic.owner.get(f"/v1/settlements/{made['id']}/statement"))["media_type"] == "text/csv"
    with pytest.raises(Refused, match="SETTLEMENT_NOT_FOUND"):
        await person.api.get(f"/v1/settlements/{made['id']}/statement")
    await invariants.hold(world)


async def test_the_exported_books_are_confirmed_by_beancount(world: World, tmp_path: Path) -> None:
    clinic, person = await world.clinic(), await world.customer()
    booking = await world.book(person, clinic.slot())
    await world.cancel(person.api, booking["id"])
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    books = tmp_path / "books.beancount"
    await money(world, "export", "--out", str(books))
    assert booking["payment_id"] in books.read_text()
    checker = await asyncio.create_subprocess_exec(BEAN_CHECK, books)
    assert await checker.wait() == 0


async def test_a_refund_that_no_provider_can_make_is_paid_by_a_person(world: World) -> None:
    clinic, person = await world.clinic(), await world.customer()
    booking = await world.book(person, clinic.slot(), "tok_refund_refused")
    await world.cancel(clinic.owner, booking["id"])

    async def waiting() -> str | None:
        found = (await money(world, "refunds", "--limit", "1000", "--json")).json["refunds"]
        return next((each["refund"]["id"] for each in found if each["booking_id"] == booking["id"]), None)

    refund_id = await eventually("the refund to wait for a person", waiting)
    await money(world, "retry", refund_id, *REASON)
    assert await eventually("the provider to refuse it again", waiting) == refund_id
    reference = ("--reference", "transfer 17")
    await money(world, "pay-out", refund_id, *reference, *REASON, "--dry-run")
    assert await waiting() == refund_id
    await money(world, "pay-out", refund_id, *reference, *REASON)
    assert await waiting() is None
    await world.saga_ends(f"cancellation:{booking['id']}:", "completed")
    done = await world.rows("payment", OPERATIONS, id=refund_id)
    assert {(each["verb"], each["reason"]) for each in done} == {(verb, REASON[1]) for verb in VERBS}

    async def shown() -> bool:
        return bool((await world.booking(person.api, booking["id"]))["refund_status"] == "succeeded")

    await eventually("the booking to show it", shown)
    again = await petproctl(world.stack, "money", "pay-out", refund_id, *reference, *REASON)
    assert (again.code, "REFUND_NOT_MANUAL" in again.err) == (1, True)
