"""Holds that are granted in one transaction: each has its own outcome, and two replicas never grant one seat twice."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import TextClause, text

from petpro.booking.v1 import booking_pb2
from petpro_booking import holds, store_holds
from petpro_booking.domain import PetNotFound, ServiceNotFound, SlotBlocked, SlotFull, SlotInPast, SlotNotFound
from petpro_booking.holds import HoldRequest
from petpro_booking.servicer_reservations import ReservationServicer
from petpro_common.context import CallContext, Caller, Role, within
from petpro_common.db import Database
from petpro_common.errors import RequestIdReused
from petpro_common.idempotency import Claim
from petpro_common.ids import new_id
from services.booking.tests.conftest import FOR_MANY, TERMS
from services.booking.tests.world import World, until_somebody_waits

PARAMETER = r"(?<!:):([a-z_]+)"
METHOD = "/petpro.booking.v1.ReservationService/CreateReservation"


async def grant(world: World, requests: list[HoldRequest]) -> list[Any]:
    async with world.database.transaction() as tx:
        return list(await holds.hold(tx, requests, FOR_MANY))


@pytest.mark.parametrize("size", [10, 1], ids=["together", "alone"])
async def test_each_wish_has_its_own_outcome(world: World, size: int) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)  # booking has heard of the clinic and the service
    few, begun = await world.open_slot(capacity=3), await world.open_slot(-timedelta(minutes=5))
    blocked = await world.open_slot(timedelta(days=3))
    await world.slots.BlockSlot(booking_pb2.BlockSlotRequest(slot_id=str(blocked)), metadata=world.as_ani)
    unheard_of = await world.open_slot(service_id=new_id())
    earlier, other = (Claim(str(budi), METHOD, "earlier", digest) for digest in (b"this", b"that"))
    [before] = await grant(world, [HoldRequest(budi, few, milo, earlier)])

    requests = [
        HoldRequest(budi, few, milo, None),
        HoldRequest(budi, new_id(), milo, None),
        HoldRequest(budi, unheard_of, milo, None),
        HoldRequest(budi, begun, milo, None),
        HoldRequest(budi, blocked, milo, None),
        HoldRequest(new_id(), few, milo, None),
        HoldRequest(budi, few, milo, earlier),
        HoldRequest(budi, few, milo, other),
        HoldRequest(budi, few, milo, Claim(str(budi), METHOD, "new", b"this")),
        HoldRequest(budi, few, milo, None),
    ]
    batches = [requests[first : first + size] for first in range(0, len(requests), size)]
    outcomes = [outcome for batch in batches for outcome in await grant(world, batch)]

    kinds: list[type] = [type(outcome) for outcome in outcomes]
    reply = booking_pb2.CreateReservationResponse
    refused: list[type] = [SlotNotFound, ServiceNotFound, SlotInPast, SlotBlocked, PetNotFound]
    assert kinds == [reply, *refused, reply, RequestIdReused, reply, SlotFull]
    assert outcomes[6] == before
    assert len({outcome.reservation.id for outcome in outcomes if isinstance(outcome, reply)}) == 3
    assert await world.seats(few) == (3, "booked")
    assert len(await world.events("reservation.created")) == 4


async def test_first_come_first_served_within_a_batch(world: World) -> None:
    people = [new_id() for _ in range(40)]
    pets = [await world.known_pet(person) for person in people]
    slot_id = await world.open_slot(capacity=17)
    await world.hold(people[0], await world.open_slot(), pets[0])

    outcomes = await grant(
        world, [HoldRequest(*whose, None) for whose in zip(people, [slot_id] * 40, pets, strict=True)]
    )

    assert [isinstance(outcome, SlotFull) for outcome in outcomes] == [False] * 17 + [True] * 23
    assert [outcome.reservation.user_id for outcome in outcomes[:17]] == [str(person) for person in people[:17]]
    assert await world.seats(slot_id) == (17, "booked")


async def test_of_those_who_come_alone_at_the_same_time_as_many_get_a_seat_as_there_are(world: World) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)

    for day in range(2, 12):
        slot_id = await world.open_slot(timedelta(days=day), capacity=3)
        granted = await asyncio.gather(*(grant(world, [HoldRequest(budi, slot_id, milo, None)]) for _ in range(8)))
        assert sum(isinstance(outcome, SlotFull) for [outcome] in granted) == 5
        assert await world.seats(slot_id) == (3, "booked")


@pytest.fixture
def replicas(connect: Callable[[], Database]) -> list[ReservationServicer]:
    """Two servicers with connections of their own to one database; neither copies nor sagas are needed here."""
    return [ReservationServicer(connect(), None, None, TERMS, None) for _ in range(2)]  # type: ignore[arg-type]


async def ask(replica: ReservationServicer, user_id: UUID, slot_id: UUID, pet_id: UUID, key: str = "") -> Any:
    """Holds a seat at one replica; the reply or the error."""
    request = booking_pb2.CreateReservationRequest(slot_id=str(slot_id), pet_id=str(pet_id))
    with within(CallContext(METHOD, "a call", key, Caller(str(user_id), Role.CUSTOMER))):
        (outcome,) = await asyncio.gather(replica.CreateReservation(request, None), return_exceptions=True)
    return outcome


async def test_two_replicas_grant_each_seat_once(world: World, replicas: list[ReservationServicer]) -> None:
    people = [new_id() for _ in range(100)]
    pets = {person: await world.known_pet(person) for person in people}
    await world.hold(people[0], await world.open_slot(), pets[people[0]])
    slots = [await world.open_slot(timedelta(days=2, hours=hour), capacity=7) for hour in range(5)]

    requests = [(replicas[n % 2], people[n // 2], slots[(n // 2) % 5]) for n in range(200)]
    outcomes = await asyncio.gather(*(ask(replica, who, slot, pets[who]) for replica, who, slot in requests))

    held = Counter(o.reservation.slot_id for o in outcomes if isinstance(o, booking_pb2.CreateReservationResponse))
    assert held == {str(slot): 7 for slot in slots}
    assert sum(isinstance(outcome, SlotFull) for outcome in outcomes) == 200 - 35
    assert [await world.seats(slot) for slot in slots] == [(7, "booked")] * 5


async def test_one_request_at_two_replicas_at_once_holds_one_seat(
    world: World, replicas: list[ReservationServicer]
) -> None:
    budi = new_id()
    milo, slot_id = await world.known_pet(budi), await world.open_slot(capacity=50)
    await world.hold(budi, await world.open_slot(), milo)

    for key in map(str, range(9)):
        asked = (ask(replicas[n % 2], budi, slot_id, milo, key) for n in range(6))
        outcomes = await asyncio.gather(*asked)
        assert len({outcome.reservation.id for outcome in outcomes}) == 1, outcomes

    assert await world.seats(slot_id) == (9, "available")


@pytest.mark.parametrize("size", [2, 1], ids=["together", "alone"])
async def test_a_copy_that_waits_for_the_last_seat_of_the_same_request_gets_its_reply(world: World, size: int) -> None:
    budi = new_id()
    milo, slot_id = await world.known_pet(budi), await world.open_slot()
    await world.hold(budi, await world.open_slot(), milo)
    first, another = (Claim(str(budi), METHOD, "the same", digest) for digest in (b"this", b"that"))

    async with world.database.transaction() as tx:
        [reply] = await holds.hold(tx, [HoldRequest(budi, slot_id, milo, first)], FOR_MANY)
        copy, other = ([HoldRequest(budi, slot_id, milo, claim)] * size for claim in (first, another))
        waiting = asyncio.gather(
            grant(world, copy), grant(world, other), grant(world, [HoldRequest(budi, slot_id, milo, None)])
        )
        await until_somebody_waits(world, 3)
    copies, others, [stranger] = await waiting

    assert copies == [reply] * size
    assert [type(outcome) for outcome in others] == [RequestIdReused] * size
    assert isinstance(stranger, SlotFull)
    assert await world.seats(slot_id) == (1, "booked")


@pytest.mark.parametrize("size", [2, 1], ids=["together", "alone"])
async def test_a_hold_ends_when_its_slot_begins(world: World, size: int) -> None:
    budi = new_id()
    milo, slot_id = await world.known_pet(budi), await world.open_slot(timedelta(minutes=5), capacity=2)
    await world.hold(budi, await world.open_slot(), milo)
    outcomes = await grant(world, [HoldRequest(budi, slot_id, milo, None)] * size)
    [slot] = await world.sql("SELECT starts_at FROM slots WHERE id = :id", id=slot_id)
    assert [outcome.reservation.expires_at.ToDatetime(UTC) for outcome in outcomes] == [slot.starts_at] * size


@pytest.mark.parametrize("shape", [store_holds._TOGETHER, store_holds._ALONE], ids=["together", "alone"])
async def test_nothing_is_read_whole_even_by_a_plan_made_while_the_tables_were_empty(
    world: World, shape: TextClause
) -> None:
    names = dict.fromkeys(re.findall(PARAMETER, shape.text))
    numbers = {name: f"${number}" for number, name in enumerate(names, start=1)}
    statement = re.sub(PARAMETER, lambda found: numbers[found[1]], shape.text)
    values = ", ".join(map(_value, names))
    async with world.database.transaction() as tx:
        await tx.execute(text(f"PREPARE granting AS {statement}"))
        plan = (await tx.execute(text(f"EXPLAIN (FORMAT JSON) EXECUTE granting ({values})"))).scalar_one()
        await tx.execute(text("DEALLOCATE granting"))

    scans = [node for node in _nodes(plan[0]["Plan"]) if "Relation Name" in node and "Scan" in node["Node Type"]]
    assert {node["Relation Name"] for node in scans} > {"idempotency_keys", "account_pets", "catalog_services"}
    assert [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"] == []
    indexes = [
        node["Index Name"] for node in _nodes(plan[0]["Plan"]) if node.get("Index Name", "").startswith("slots_")
    ]
    assert all(index.endswith("_pkey") for index in indexes), "slots are found by their ids, not by their days"
    assert indexes


def _value(name: str) -> str:
    if name in ("hold_seconds", "most"):
        return "10"
    return "'{}'" if name.endswith("s") else f"'{new_id()}'"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


@pytest.mark.parametrize("days", [(2, 3, 4), (2, 40, 80), (80, 2, 40)], ids=["a month", "months", "months back"])
async def test_who_waits_for_others_holds_gets_every_free_seat(world: World, days: tuple[int, ...]) -> None:
    budi = new_id()
    milo = await world.known_pet(budi)
    await world.hold(budi, await world.open_slot(), milo)
    slots = [await world.open_slot(timedelta(days=day), capacity=9) for day in days]
    requests = [HoldRequest(budi, slot, milo, None) for slot in slots]

    async with world.database.transaction() as tx:
        await holds.hold(tx, requests[:2], FOR_MANY)
        waiting = asyncio.create_task(grant(world, requests * 2))
        await until_somebody_waits(world, 1)
    outcomes = await waiting

    assert {type(outcome) for outcome in outcomes} == {booking_pb2.CreateReservationResponse}
    assert [await world.seats(slot) for slot in slots] == [(3, "available"), (3, "available"), (2, "available")]
