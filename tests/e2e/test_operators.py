"""An administrator at the command line helps real checkouts that cannot go on."""

from dataclasses import dataclass

import pytest

from devstack.api import Json
from tests.terminal import Said, petproctl
from tests.world import Clinic, Customer, World


@dataclass
class Desk:
    """A checkout that waits for the clinic's yes, and an administrator's terminal."""

    world: World
    clinic: Clinic
    customer: Customer
    reservation: Json

    async def petproctl(self, *words: str, typed: str = "") -> Said:
        return await petproctl(self.world.stack, "saga", *words, typed=typed)

    @property
    def key(self) -> str:
        return f"checkout:{self.reservation['id']}:"

    async def saga(self) -> Json:
        return dict((await self.petproctl("list", "--key", self.key, "--json")).json["sagas"][0])

    async def park(self) -> str:
        """What the engine does when retries have run out; the saga's id."""
        statement = (
            "UPDATE sagas SET status = 'parked', due_at = NULL, version = version + 1"
            " WHERE starts_with(business_key, %(key)s) RETURNING id"
        )
        (row,) = await self.world.rows("booking", statement, key=self.key)
        return str(row["id"])

    async def approved(self) -> None:
        """The clinic says yes, and all goes well."""
        await self.clinic.owner.post(f"/v1/reservations/{self.reservation['id']}:approve")
        await self.world.checkout_ends(self.customer, self.reservation, "CONFIRMED")
        await self.world.saga_ends(self.key, "completed")


@pytest.fixture
async def desk(world: World) -> Desk:
    clinic, customer = await world.clinic(requires_approval=True), await world.customer()
    reservation = await world.hold(customer, clinic.slot())
    await world.checkout(customer, reservation)
    await world.checkout_ends(customer, reservation, "AWAITING_APPROVAL")
    return Desk(world, clinic, customer, reservation)


async def test_a_parked_checkout_is_found_looked_at_retried_and_ends_well(desk: Desk) -> None:
    saga_id = await desk.park()
    found = await desk.petproctl("list", "--status", "parked", "--step", "approve", "--key", desk.key)
    assert found.code == 0
    assert saga_id in found.out
    young = await desk.petproctl("list", "--key", desk.key, "--older-than", "1d", "--json")
    assert young.json == {"sagas": []}

    foreseen = await desk.petproctl("retry", saga_id, "--reason", "the clinic called", "--dry-run", "--json")
    assert foreseen.code == 0, foreseen.err
    assert foreseen.json["results"][0]["saga"]["status"] == "running"
    seen = await desk.saga()
    assert seen["status"] == "parked"

    old = await desk.petproctl("retry", saga_id, "--reason", "too late", "--version", str(seen["version"] - 1))
    assert old.code == 1
    assert "SAGA_VERSION_CONFLICT" in old.out
    skipped = await desk.petproctl("skip", saga_id, "--reason", "I say yes myself", "--json")
    assert skipped.code == 1
    assert skipped.json["results"][0]["reason"] == "SAGA_STEP_NOT_SKIPPABLE"

    retried = await desk.petproctl("retry", saga_id, "--reason", "the clinic called")
    assert retried.code == 0, retried.out
    assert "went from parked at approve to running at approve" in retried.out
    shown = await desk.petproctl("show", saga_id)
    assert "operator" in shown.out
    timeline = (await desk.petproctl("show", saga_id, "--json")).json["timeline"]
    (act,) = [line for line in timeline if line["kind"] == "operator"]
    assert act["detail"].endswith(": the clinic called")
    audit = "SELECT verb, reason FROM saga_operations WHERE saga_id = %(id)s"
    assert await desk.world.rows("booking", audit, id=saga_id) == [{"verb": "retry", "reason": "the clinic called"}]

    await desk.approved()


async def test_a_checkout_is_turned_back_and_the_customer_reads_that_it_failed(desk: Desk) -> None:
    saga_id = (await desk.saga())["id"]
    turned = await desk.petproctl("compensate", saga_id, "--reason", "the clinic burns")
    assert turned.code == 0, turned.out + turned.err
    failed = await desk.world.checkout_ends(desk.customer, desk.reservation, "FAILED")
    assert failed["failure_reason"] == "STOPPED_BY_OPERATOR"
    ended = await desk.petproctl("resolve", saga_id, "--as", "completed", "--reason", "all is well")
    assert ended.code == 1
    assert "SAGA_HAS_ENDED" in ended.out


async def test_several_are_turned_back_at_once_but_never_just_all_of_them(desk: Desk) -> None:
    refused = await desk.petproctl("compensate", "--status", "running", "--reason", "the clinic burns", "--yes")
    assert refused.code == 2
    several = (
        "compensate",
        "--key",
        desk.key,
        "--status",
        "running",
        "--reason",
        "the clinic burns",
        "--yes",
        "--json",
    )
    turned = await desk.petproctl(*several)
    assert turned.code == 0, turned.err
    assert [result["saga"]["status"] for result in turned.json["results"]] == ["compensated"]
    await desk.world.checkout_ends(desk.customer, desk.reservation, "FAILED")


async def test_several_are_retried_only_when_it_is_confirmed(desk: Desk) -> None:
    await desk.park()
    several = ("retry", "--key", desk.key, "--reason", "the provider is back")
    refused = await desk.petproctl(*several, typed="n\n")
    assert refused.code == 1
    assert (await desk.saga())["status"] == "parked"
    done = await desk.petproctl(*several, "--yes", "--json")
    assert done.code == 0, done.err
    assert [result["saga"]["status"] for result in done.json["results"]] == ["running"]

    await desk.approved()
