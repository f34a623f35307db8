"""An administrator at the command line has a message handled again that a service had set aside, or gives it up."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from devstack.api import Json, Refused
from devstack.layout import SERVICES
from tests.invariants import PLANTED
from tests.terminal import Said, petproctl
from tests.world import Customer, World

MESSAGES = "/v1/operations/messages"
NOISE = ("--reason", "published by hand, nobody can read it")
REASON = ("--reason", "the wording is repaired")
PARK = """
    INSERT INTO parked_messages (message_id, consumer, subject, headers, payload, error, tries)
    VALUES (%(id)s, 'notification', 'petpro.events.booking.no_show', %(headers)s, %(payload)s, %(error)s, 12)
    RETURNING id
"""
REDRIVES = "SELECT operator, reason, outcome FROM message_redrives WHERE message_id = %(id)s"


@dataclass
class Desk:
    """Somebody who should have been told that their pet was missed, and an administrator's terminal."""

    world: World
    customer: Customer
    message_id: str = field(default_factory=lambda: f"{PLANTED}{uuid4()}")

    @property
    def error(self) -> str:
        """Of these messages alone."""
        return f"WordingLost {self.message_id}"

    async def petproctl(self, *words: str, typed: str = "") -> Said:
        return await petproctl(self.world.stack, "messages", *words, typed=typed)

    async def park(self, payload: str = "") -> str:
        """What notification does with a message that it cannot handle; how the message is called."""
        ids = {"booking_id": str(uuid4()), "clinic_id": str(uuid4()), "user_id": self.customer.id}
        event = payload or json.dumps({"event_type": "booking.no_show", **ids})
        headers = json.dumps({"ce-id": self.message_id, "ce-type": "booking.no_show"})
        values = {"id": self.message_id, "headers": headers, "payload": event.encode(), "error": self.error}
        (row,) = await self.world.rows("notification", PARK, **values)
        return f"notification:{row['id']}"

    async def told(self) -> list[Json]:
        """What the customer was told of bookings."""
        found = (await self.customer.api.get("/v1/notifications"))["notifications"]
        return [each for each in found if each["booking_id"]]


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    made = Desk(world, await world.customer())
    yield made
    await world.rows(
        "notification", "DELETE FROM parked_messages WHERE message_id = %(id)s RETURNING 1", id=made.message_id
    )


async def test_a_parked_message_is_found_looked_at_redriven_and_the_customer_is_told_once(desk: Desk) -> None:
    name = await desk.park()
    found = await desk.petproctl("list", "--error", desk.error, "--subject", "petpro.events.", "--json")
    assert [message["name"] for message in found.json["messages"]] == [name]
    assert name in (await desk.petproctl("list", "--service", "notification", "--error", desk.error)).out
    young = await desk.petproctl("list", "--error", desk.error, "--older-than", "1d", "--json")
    assert young.json == {"messages": []}
    shown = await desk.petproctl("show", name, "--json")
    assert shown.json["facts"]["user_id"] == desk.customer.id

    foreseen = await desk.petproctl("redrive", name, *REASON, "--dry-run", "--json")
    assert foreseen.code == 0, foreseen.err
    assert foreseen.json["results"][0]["outcome"] == "foreseen"
    assert await desk.told() == []

    redriven = await desk.petproctl("redrive", name, *REASON)
    assert redriven.code == 0, redriven.out + redriven.err
    assert f"{name} was handled" in redriven.out
    assert [each["type"] for each in await desk.told()] == ["booking_no_show"]
    (act,) = await desk.world.rows("notification", REDRIVES, id=desk.message_id)
    assert (act["reason"], act["outcome"]) == (REASON[1], "handled")
    gone = await desk.petproctl("show", name)
    assert gone.code == 1
    assert "PARKED_MESSAGE_NOT_FOUND" in gone.err

    again = await desk.park()
    assert (await desk.petproctl("redrive", again, *REASON)).code == 0
    assert len(await desk.told()) == 1, "it had taken effect before"


async def test_several_are_redriven_only_when_it_is_confirmed_and_what_fails_stays(desk: Desk) -> None:
    name = await desk.park("{not json")
    several = ("redrive", "--error", desk.error, *REASON)
    assert (await desk.petproctl(*several, typed="n\n")).code == 1
    assert await desk.world.rows("notification", REDRIVES, id=desk.message_id) == []
    failed = await desk.petproctl(*several, "--yes")
    assert failed.code == 1
    assert f"{name} failed again: Unprocessable: the event is not JSON" in failed.out
    shown = await desk.petproctl("show", name)
    assert "the event is not JSON" in shown.out
    assert "failed" in shown.out


async def test_a_message_that_nobody_can_read_is_discarded_and_the_auditor_is_content(desk: Desk) -> None:
    name = await desk.park("{not json")
    audit = ("messages-are-handled", "--json")
    assert name in (await petproctl(desk.world.stack, "audit", "--only", *audit)).out
    foreseen = await desk.petproctl("discard", name, *NOISE, "--dry-run", "--json")
    assert foreseen.json["results"][0]["outcome"] == "foreseen"
    assert (await desk.petproctl("discard", name, *NOISE, typed="n\n")).code == 1
    assert await desk.world.rows("notification", REDRIVES, id=desk.message_id) == []

    discarded = await desk.petproctl("discard", name, *NOISE, "--yes")
    assert discarded.code == 0, discarded.out + discarded.err
    assert f"{name} was discarded" in discarded.out
    (act,) = await desk.world.rows("notification", REDRIVES, id=desk.message_id)
    assert (act["reason"], act["outcome"]) == (NOISE[1], "discarded")
    assert name not in (await petproctl(desk.world.stack, "audit", "--only", *audit)).out
    for verb in ("show", "redrive", "discard"):
        gone = await desk.petproctl(verb, name, *(NOISE if verb != "show" else ()))
        assert gone.code == 1
        assert "PARKED_MESSAGE_NOT_FOUND" in gone.err


async def test_administrators_alone_reach_each_services_messages(desk: Desk) -> None:
    for service in SERVICES:
        assert "messages" in await desk.world.admin.get(f"{MESSAGES}/{service}")
        acts = [("POST", f"{MESSAGES}/{service}:{verb}") for verb in ("redrive", "discard")]
        for method, path in (("GET", f"{MESSAGES}/{service}"), *acts):
            body = {"id": "1", "reason": "I want to know"} if method == "POST" else None
            with pytest.raises(Refused) as refusal:
                await desk.customer.api.call(method, path, json=body)
            assert (refusal.value.status, refusal.value.reason) == (403, "FORBIDDEN")
    with pytest.raises(Refused) as refusal:
        await desk.world.admin.get(f"{MESSAGES}/nobody")
    assert (refusal.value.status, refusal.value.reason) == (404, "ROUTE_NOT_FOUND")
