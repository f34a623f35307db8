"""petproctl on a running platform: everything at one look, the partitions, and people's accounts."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from devstack.api import Refused
from devstack.layout import SERVICES
from petpro_account import tokens
from petpro_common.context import Role
from petpro_common.ids import new_id
from petpro_common.versions import versions_of
from petproctl.gateway import Gateway, sign_in_of
from petproctl.saga import SAGAS
from tests import terminal
from tests.waiting import eventually
from tests.world import World

FORBIDDEN = 403


async def test_status_shows_every_part_ready_with_its_versions_and_sagas(world: World) -> None:
    clinic = await world.clinic(requires_approval=True)
    customer = await world.customer()
    reservation = await world.hold(customer, clinic.slot())
    await world.checkout(customer, reservation)
    await world.checkout_ends(customer, reservation, "AWAITING_APPROVAL")

    async def counted() -> list[dict[str, Any]]:
        said = await terminal.petproctl(world.stack, "status", "--json")
        if said.code != 0:  # a part that is slow to answer passes for one that is away
            return []
        parts = {part["part"]: part for part in said.json["parts"]}
        assert parts.keys() >= {"database", "nats", "gateway", *SERVICES}
        assert all(part["is_ready"] for part in parts.values())
        assert {name: parts[name]["schema"] for name in SERVICES} == {
            name: versions_of(f"petpro_{name}")[-1] for name in SERVICES
        }
        assert all(parts[name]["version"] for name in SERVICES)
        return [saga for saga in said.json["sagas"] if (saga["saga_type"], saga["step"]) == ("checkout", "approve")]

    await eventually("the saga that waits for approval to be counted", counted)
    await clinic.owner.post(f"/v1/reservations/{reservation['id']}:decline")


async def test_a_session_outlives_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Path(world.stack.endpoints["secrets"]) / "account" / "petpro_account_signing_keys"
    monkeypatch.setattr(tokens, "ACCESS_TOKEN_LIFE", timedelta(minutes=-5))
    ended = tokens.TokenKeys(keys.read_text()).sign(new_id(), Role.ADMIN)
    with Gateway(sign_in_of(world.stack.run, "", "")) as gateway:
        gateway._client.headers["Authorization"] = f"Bearer {ended}"
        await asyncio.to_thread(gateway.get, SAGAS)
        assert gateway._client.headers["Authorization"] != f"Bearer {ended}"


async def test_partitions_are_listed_and_none_is_missing(world: World) -> None:
    said = await terminal.petproctl(world.stack, "partitions", "--json")
    assert said.code == 0, said.err
    tables = {partition["table"] for partition in said.json["partitions"]}
    assert tables == {"slots", "reservations", "bookings"}
    assert said.json["missing"] == []
    drawn = await terminal.petproctl(world.stack, "partitions")
    assert "FOR VALUES FROM" in " ".join(drawn.out.split())


async def test_an_account_is_found_by_address_and_id_and_covered_up_unless_asked(world: World) -> None:
    customer = await world.customer()
    shown = await terminal.petproctl(world.stack, "users", "show", customer.email.upper(), "--json")
    covered = await _show(world, customer.id)
    assert shown.json == covered
    assert (covered["id"], covered["role"], covered["account_status"]) == (customer.id, "customer", "active")
    assert customer.email not in str(covered)
    assert [pet["species"] for pet in covered["pets"]] == ["cat"]
    assert (await _show(world, customer.id, "--reveal"))["email"] == customer.email
    assert (await terminal.petproctl(world.stack, "users", "show", "nobody@example.com")).code == 1


async def test_an_account_is_suspended_and_reinstated_with_who_and_why(world: World) -> None:
    customer = await world.customer()
    why = ("--reason", "phishing, ticket 42", "--json")
    foreseen = await terminal.petproctl(world.stack, "users", "suspend", customer.id, *why, "--dry-run")
    assert foreseen.json["account_status"] == "suspended"
    assert (await _show(world, customer.id))["account_status"] == "active"

    done = await terminal.petproctl(world.stack, "users", "suspend", customer.id, *why)

    assert done.json == foreseen.json
    assert (await _show(world, customer.id))["account_status"] == "suspended"
    for verb in ("reinstate", "end-sessions", "unlock"):
        assert (await terminal.petproctl(world.stack, "users", verb, customer.id, *why)).code == 0
    kept = await world.rows(
        "account", "SELECT verb, reason FROM user_operations WHERE user_id = %(id)s", id=customer.id
    )
    assert {row["verb"] for row in kept} == {"suspend", "reinstate", "end_sessions", "unlock_sign_in"}
    assert {row["reason"] for row in kept} == {"phishing, ticket 42"}
    nobody = await terminal.petproctl(world.stack, "users", "suspend", str(new_id()), *why)
    assert (nobody.code, "USER_NOT_FOUND" in nobody.err) == (1, True)
    assert (await terminal.petproctl(world.stack, "users", "suspend", customer.id)).code == 2, "no reason"


async def test_a_review_is_taken_from_the_public_and_given_back(world: World) -> None:
    clinic, person = await world.clinic(), await world.customer()
    booking = await world.book(person, clinic.slot())
    await world.visit(clinic.owner, booking["id"])
    written = {"rating": 1, "comment": "drh. Wayan is a crook", "attachments": ["https://photos.example/1.jpg"]}
    mine, listed = f"/v1/bookings/{booking['id']}/review", f"/v1/clinics/{clinic.id}/reviews"
    review = (await person.api.post(mine, written))["review"]
    assert (review["is_published"], review["attachments"]) == (True, written["attachments"])
    why = ("--reason", "names a person, ticket 47", "--json")
    act = ("reviews", "unpublish", review["id"], *why)

    foreseen = await terminal.petproctl(world.stack, *act, "--dry-run")
    assert foreseen.json["is_published"] is False
    assert [each["id"] for each in (await world.visitor.get(listed))["reviews"]] == [review["id"]]
    assert (await terminal.petproctl(world.stack, *act)).json == foreseen.json

    assert not (await world.visitor.get(listed)).get("reviews")
    assert not (await person.api.get(mine))["review"].get("is_published")
    (taken,) = (await clinic.owner.get(listed, unpublished="true"))["reviews"]
    assert taken["id"] == review["id"]
    said = await terminal.petproctl(world.stack, "reviews", "list", clinic.id, "--unpublished", "--json")
    assert [each["id"] for each in said.json["reviews"]] == [review["id"]]
    assert (await terminal.petproctl(world.stack, "reviews", "publish", review["id"], *why)).json["is_published"]
    assert (await world.visitor.get(f"/v1/clinics/{clinic.id}"))["clinic"]["review_count"] == 1
    nobody = await terminal.petproctl(world.stack, "reviews", "publish", str(new_id()), *why)
    assert (nobody.code, "REVIEW_NOT_FOUND" in nobody.err) == (1, True)


async def test_an_administrator_is_made_and_unmade(world: World) -> None:
    colleague = {"email": f"{uuid4().hex}@example.com", "password": uuid4().hex}
    named = {**colleague, "full_name": "Ani Putri", "phone_number": "+628123456789"}
    somebody = (await world.visitor.post("/v1/users", named))["user"]["id"]
    unlock, reason = f"/v1/operations/users/{somebody}:unlockSignIn", {"reason": "called from a known number"}
    why = ("--reason", "joins the desk, ticket 44", "--json")
    foreseen = await terminal.petproctl(world.stack, "users", "set-role", somebody, "admin", *why, "--dry-run")
    assert (foreseen.json["role"], (await _show(world, somebody))["role"]) == ("admin", "customer")

    made = await terminal.petproctl(world.stack, "users", "set-role", somebody, "admin", *why)

    assert made.json == foreseen.json
    ani = await world.visitor.sign_in(**colleague)
    await ani.post(unlock, reason)
    unmade = await terminal.petproctl(world.stack, "users", "set-role", somebody, "customer", *why)
    assert (unmade.json["role"], unmade.json["ended_sessions"]) == ("customer", 1)
    with pytest.raises(Refused) as refusal:
        await ani.post(unlock, reason)
    assert refusal.value.status == FORBIDDEN, "though her token says otherwise for a while yet"


async def _show(world: World, who: str, *words: str) -> dict[str, Any]:
    return dict((await terminal.petproctl(world.stack, "users", "show", who, "--json", *words)).json)
