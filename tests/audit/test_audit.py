"""The auditor raises no false alarm, in traffic and at rest, and names whatever is then planted."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.api import Json
from devstack.running import RunningStack
from devstack.stack import PARTS
from devstack.testing import StartStack
from petproctl.audit import state
from petproctl.audit.lists import AskedThroughPayment
from petproctl.audit.model import INVARIANTS
from petproctl.audit.run import Report
from petproctl.gateway import Gateway, sign_in_of
from tests import invariants, terminal
from tests.audit.corruptions import CHANGES, CORRUPTIONS, ELSEWHERE, HIDDEN, Corruption
from tests.audit.kinds import bookings_of_every_kind
from tests.audit.looking import look_over, named
from tests.audit.planting import drop_checks, planted
from tests.audit.traffic import visits
from tests.terminal import Said
from tests.waiting import eventually
from tests.world import World, open_world

PARTS_THAT_WOULD_REPAIR = ("booking", "payment", "notification")
LOOKS = 4
BY_OTHER_RULES = {
    table: f"UPDATE {table} SET starts_at = starts_at + interval '30 minutes'{ends} WHERE clinic_id = %(clinic)s"  # noqa: S608
    for table, ends in (
        ("slots", ", ends_at = ends_at + interval '30 minutes'"),
        ("reservations", ""),
        ("bookings", ", ends_at = ends_at + interval '30 minutes'"),
    )
}


@pytest.fixture(scope="module")
def started(start_own_stack: StartStack) -> RunningStack:
    return start_own_stack()


@pytest.fixture
async def audited(started: RunningStack) -> RunningStack:
    """Whatever another test has stopped is started again."""
    for part in PARTS:
        if started.state(part) != "ready":
            await started.start_part(part)
    return started


async def test_traffic_raises_no_false_alarm(audited: RunningStack, tmp_path: Path) -> None:
    """Nor do runs that each go on where the last one ended; and what they had to postpone, they settle."""
    file, before = tmp_path / "state.json", named(await asyncio.to_thread(look_over, audited))
    async with open_world(audited) as world:
        grace = await _grace(world)
        traffic = asyncio.create_task(visits(world, 4 * grace))
        reports: list[Report] = []
        while not traffic.done() or len(reports) < LOOKS:
            reports += [await _goes_on(audited, grace, file), await asyncio.to_thread(look_over, audited, grace, 0.5)]
        await invariants.hold(world)
        await eventually("nothing to be postponed", lambda: _settled(audited, grace, file))
    assert set().union(*(named(report) for report in reports)) - before == set()
    assert await traffic > 8


async def test_slots_that_follow_a_governments_clock_raise_no_false_alarm(audited: RunningStack) -> None:
    """What was made by rules of before is moved when booking starts, and who is booked is told."""
    async with open_world(audited) as world:
        clinic, person = await asyncio.gather(world.clinic(), world.customer())
        booked, left = await world.book(person, clinic.slot(0)), await world.book(person, clinic.slot(2))
        held = await world.hold(person, clinic.slot(4))
        await world.cancel(person.api, left["id"])
        await world.saga_ends(f"cancellation:{left['id']}:", "completed")
        await audited.stop_part("booking")
        for table in ("slots", "reservations", "bookings"):
            await world.rows("booking", BY_OTHER_RULES[table], clinic=clinic.id)
        await audited.start_part("booking")

        async def moved() -> bool:
            return bool((await world.booking(person.api, booked["id"]))["starts_at"] == booked["starts_at"])

        async def told() -> list[Json]:
            said = (await person.api.get("/v1/notifications", page_size=100))["notifications"]
            return [each for each in said if each["type"] == "booking_rescheduled"]

        await eventually("the booking to be when its local time says", moved)
        assert [each["booking_id"] for each in await eventually("who is booked to be told", told)] == [booked["id"]]
        assert (await world.booking(person.api, left["id"]))["starts_at"] != left["starts_at"]
        sit = ["bookings-sit-in-their-slots", "holds-sit-in-their-slots"]
        assert named(await asyncio.to_thread(look_over, audited, only=sit)) == set()
        await world.checkout(person, held)
        await world.checkout_ends(person, held, "CONFIRMED")
        await eventually("a clean audit", lambda: _clean(audited))


async def _grace(world: World) -> float:
    """Seconds in which whatever happens has reached everybody: some times what it takes four to book at once."""
    clinic, person = await world.clinic(capacity=4), await world.customer()
    began = time.monotonic()
    await asyncio.gather(*(world.book(person, clinic.slot()) for _ in range(4)))
    return max(4.0, 5 * (time.monotonic() - began))


async def _goes_on(stack: RunningStack, grace: float, file: Path) -> Report:
    report = await asyncio.to_thread(look_over, stack, grace, 0.5, state.load(file))
    state.save(file, report)
    return report


async def _settled(stack: RunningStack, grace: float, file: Path) -> bool:
    return not any(each.tally.postponed for each in (await _goes_on(stack, grace, file)).outcomes)


@pytest.mark.timeout(900)
async def test_what_is_planted_is_named_and_nothing_else_was(audited: RunningStack, tmp_path: Path) -> None:
    async with open_world(audited) as world:
        made = await bookings_of_every_kind(world)
        await eventually("a clean audit", lambda: _clean(audited))
        _goes_on_by_itself(audited, tmp_path)
        _hears_the_list_through_payment(audited, made)
        for part in PARTS_THAT_WOULD_REPAIR:
            await audited.stop_part(part)
        await asyncio.to_thread(drop_checks, audited)
        before = named(await asyncio.to_thread(look_over, audited))
        assert [one for one in CORRUPTIONS if not await _is_named(audited, one, made, before)] == []
        assert {one.invariant for one in CORRUPTIONS} == INVARIANTS.keys()
        assert [one for one in CHANGES if not await _is_named(audited, one, made, before, since_now=True)] == []
        await _what_is_postponed_is_looked_at_again(audited, made)
        await _what_another_provider_took_is_not_missed(audited, made)
        # The saga that waits for approval comes due while nobody is there to look at it, and is named rightly.
        left = {subject for _, subject in named(await asyncio.to_thread(look_over, audited)) - before}
        assert left.isdisjoint(made.values()), "a corruption outlived its turn"
        await _plant_at_the_provider(world, made)
        _tells_what_is_wrong(audited, tmp_path)


def _goes_on_by_itself(stack: RunningStack, folder: Path) -> None:
    """A second run reads less than the first, which has left a state."""
    options = ["--state", str(folder / "state.json"), "--metrics", str(folder / "audit.prom")]
    runs = [_run(stack, *options) for _ in range(2)]
    assert [(run.code, run.err) for run in runs] == [(0, "")] * 2
    first, second = (run.json for run in runs)
    assert first["clean"]
    assert first["until"] < second["until"]
    metrics = _metrics(folder / "audit.prom")
    assert metrics["petpro_audit_violations"] == dict.fromkeys(INVARIANTS, 0)
    assert metrics["petpro_audit_rows"]["seats-counted"] > 0
    assert metrics["petpro_audit_waiting_for_a_person"]["manual_refunds"] > 0
    assert metrics["petpro_audit_last_success_timestamp_seconds"].keys() == {"changes"}
    nobody_is_sent_a_part = ["--only", "seats-counted", "--push", "http://127.0.0.1:9"]
    assert _run(stack, *nobody_is_sent_a_part, "--metrics", str(folder / "whole.prom")).code == 0
    assert _metrics(folder / "whole.prom")["petpro_audit_last_success_timestamp_seconds"].keys() == {"everything"}


def _hears_the_list_through_payment(stack: RunningStack, made: dict[str, str]) -> None:
    ends = datetime.now(UTC)
    with Gateway(sign_in_of(stack.run, "", "")) as gateway:
        lists = AskedThroughPayment(lambda: gateway)
        taken, given = (lists.moved("sandbox", kind, ends - timedelta(days=1), ends) for kind in ("CAPTURE", "REFUND"))
        assert lists.moved("nobody", "CAPTURE", ends, ends) is None
    assert made["payment"] in {each.reference for each in taken or () if each.state == "succeeded" and each.amount}
    assert made["refund"] in {each.reference for each in given or () if each.state == "succeeded" and each.at}


def _tells_what_is_wrong(stack: RunningStack, folder: Path) -> None:
    told = _run(stack, "--state", str(folder / "state.json"), "--metrics", str(folder / "audit.prom"))
    assert told.code == 1
    said = told.json
    assert not said["clean"]
    wrong = [one["subject"] for one in said["violations"] if one["invariant"] == "returns-are-ours"]
    assert wrong
    assert _metrics(folder / "audit.prom")["petpro_audit_violations"]["returns-are-ours"] == len(wrong)
    assert set(wrong) <= set(state.load(folder / "state.json").unsettled["returns-are-ours"])


def _metrics(file: Path) -> dict[str, dict[str, float]]:
    """By metric and its first label."""
    return {
        family.name: {next(iter(sample.labels.values()), ""): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(file.read_text())
    }


async def _what_is_postponed_is_looked_at_again(stack: RunningStack, made: dict[str, str]) -> None:
    """A payment that takes too little is not judged while a saga works on it, but is once that has ended."""
    short, working = HIDDEN
    async with planted(stack, short, made):
        async with planted(stack, working, made):
            postponing = await asyncio.to_thread(look_over, stack, only=[short.invariant])
        assert named(postponing) == set()
        [outcome] = postponing.outcomes
        assert outcome.unsettled == (made[short.subject],)
        last = state.State(datetime.now(UTC), {short.invariant: outcome.unsettled})
        assert named(await asyncio.to_thread(look_over, stack, last=last, only=[short.invariant])) == {
            (short.invariant, made[short.subject])
        }


async def _what_another_provider_took_is_not_missed(stack: RunningStack, made: dict[str, str]) -> None:
    before = named(await asyncio.to_thread(look_over, stack, only=[ELSEWHERE.invariant]))
    async with planted(stack, ELSEWHERE, made):
        assert named(await asyncio.to_thread(look_over, stack, only=[ELSEWHERE.invariant])) == before


async def _clean(stack: RunningStack) -> bool:
    report = await asyncio.to_thread(look_over, stack)
    return not report.violations


async def _is_named(
    stack: RunningStack,
    one: Corruption,
    made: dict[str, str],
    before: Iterable[tuple[str, str]],
    *,
    since_now: bool = False,
) -> bool:
    last = state.State(datetime.now(UTC) if since_now else None)
    async with planted(stack, one, made):
        found = named(await asyncio.to_thread(look_over, stack, last=last, only=[one.invariant]))
    return (one.invariant, made[one.subject]) in found - set(before)


async def _plant_at_the_provider(world: World, made: dict[str, str]) -> None:
    """A charge that nobody ordered, one taken twice, and money given back that nobody asked for."""
    stranger, giver = str(uuid4()), str(uuid4())
    charge = {"amount": "150000.00", "currency": "IDR", "payment_method": "card", "payment_token": "tok_success"}
    await _at_provider(world, "/v1/payment_intents", {**charge, "reference": stranger})
    again = await _at_provider(world, "/v1/payment_intents", {**charge, "reference": made["payment"]})
    await _at_provider(
        world, "/v1/refunds", {"payment_intent": again["id"], "amount": "1000.00", "reference": giver, "reason": "?"}
    )
    sent_back = datetime.now(UTC)
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
    last = state.State(sent_back)
    assert ("returns-are-ours", made["refund"]) in named(await asyncio.to_thread(look_over, world.stack, last=last))


async def _at_provider(world: World, path: str, body: Json) -> Json:
    answer = await world.provider.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    return dict(answer.raise_for_status().json())


def _run(stack: RunningStack, *more: str) -> Said:
    return terminal.run(stack, "audit", "--json", "--grace", "1", "--pause", "0", *more)


def test_who_cannot_look_says_so(started: RunningStack) -> None:
    nowhere = _run(started, "--dsn", "booking=postgresql://nobody@127.0.0.1:1/nowhere")
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "booking cannot be read" in nowhere.err.replace("\n", " ")
    assert _run(started, "--only", "no-such-thing").code == 2
    both = _run(started, "--state", "state.json", "--only", "seats-counted")
    assert (both.code, both.out) == (2, "")
