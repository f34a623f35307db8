"""The main stories, played through the gateway and told as a transcript. Every value comes from the running system."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import typer

from devstack import sample
from devstack import story_news as news
from devstack import story_scenes as scenes
from devstack.api import Api, Json, Refused, open_client, open_provider_client
from devstack.stack import Stack
from devstack.story_scenes import Choice, Person
from devstack.story_stage import Stage, StoryWentWrong, milliseconds_between, money, plain
from devstack.transcript import Transcript

_SAME_AFTER_A_REFUSAL = ("status", "reference_code", "amount", "slot_id", "starts_at", "payment_id")


async def play(stack: Stack) -> None:
    """Load the sample data, play both stories and say where things are. Exits 1 when something goes wrong."""
    told = Transcript()
    endpoints: dict[str, Any] = dict(stack.endpoints)
    try:
        with told.work("Loading the sample data"):
            await sample.load(stack)
        await tell(told, endpoints)
    except (StoryWentWrong, Refused, httpx.HTTPError) as trouble:
        told.trouble(f"The story went wrong. {str(trouble) or repr(trouble)}\nThe logs are in {endpoints['logs']}")
        raise typer.Exit(1) from None
    say_where_things_are(told, endpoints)


async def tell(told: Transcript, endpoints: Mapping[str, Any]) -> None:
    """Play both stories on the stack with these endpoints. Raises StoryWentWrong, Refused, or an error of httpx."""
    async with open_client(endpoints["gateway_url"]) as client, open_provider_client(endpoints) as provider:
        visitor = Api(client, heard=told.heard)
        admin = await visitor.sign_in(**endpoints["users"]["admin"])
        told.last = None
        stage = Stage(told, visitor, admin, provider, Path(endpoints["mail"]["folder"]))
        person, pet, choice = await a_visit_is_booked_and_cancelled(stage)
        await a_refund_is_refused(stage, person, pet, choice)


async def a_visit_is_booked_and_cancelled(stage: Stage) -> tuple[Person, Json, Choice]:
    """The first story: the whole way from signing up to the money that comes back."""
    stage.told.story("A visit is booked, paid, and cancelled", "Somebody new comes along, and plans change.")
    person = await scenes.sign_up(stage, "Dewi Lestari", "+628123456789")
    pet = await scenes.add_pet(stage, person, "Moko", "cat", "Persian", "4.20")
    choice = await scenes.find_slot(stage, person)
    reservation = await scenes.hold(stage, person, pet, choice)
    booking = await scenes.pay(stage, person, reservation, "tok_success")
    payment = await scenes.show_payment(stage, person, booking)
    scenes.show_ledger(stage, "The clinic's ledger has its line", await scenes.ledger(stage, booking, 1))

    await scenes.read_terms(stage, person, booking)
    async with news.listening(person, booking, "booking_cancelled") as app:
        asked = await scenes.ask_to_cancel(stage, person, booking, choice, "Moko is well again")
        cancelled = await scenes.outcome_of_cancellation(stage, person, booking)
    if cancelled["status"] != "BOOKING_STATUS_CANCELLED":
        raise StoryWentWrong(f"The cancellation of {booking['reference_code']} did not go through.")
    stage.told.step(f"The booking is {plain(cancelled['status'], 'BOOKING_STATUS_')}")
    stage.told.fact("the open app", f"heard it by itself: {app.result()['title']}")
    await _money_is_back(stage, payment["external_reference"], asked["refund_amount"])
    kept = scenes.show_ledger(stage, "The ledger has both lines", await scenes.ledger(stage, booking, 2))
    stage.told.fact("kept", f"{asked['refund_amount']['currency_code']} {kept:,.2f}, as the policy says")
    if kept != Decimal(booking["amount"]["amount"]) - Decimal(asked["refund_amount"]["amount"]):
        raise StoryWentWrong(f"The ledger keeps {kept}, which is not what the policy says.")
    free = await scenes.seat(stage, choice)
    stage.told.step(f"The seat is {plain(free['status'], 'SLOT_STATUS_')} again")
    stage.told.fact("booked", f"{free['booked_count']} of {free['capacity']} seats")
    await news.show_what_people_heard(
        stage, person, booking, {"booking_confirmed", "booking_cancelled", "refund_settled"}
    )
    return person, pet, choice


async def _money_is_back(stage: Stage, payment_intent: str, amount: Json) -> None:
    if Decimal(amount["amount"]) == 0:
        return

    async def succeeded() -> Json | None:
        refunds = await stage.refunds_at_provider(payment_intent)
        return refunds[0] if refunds and refunds[0]["status"] == "succeeded" else None

    refund = await stage.until("the refund to succeed at the provider", succeeded)
    stage.told.step(f"The money is back: the provider says the refund has {refund['status']}")
    stage.told.fact("amount", money({"amount": refund["amount"], "currency_code": refund["currency"]}))
    stage.told.fact("at provider", refund["id"])


async def a_refund_is_refused(stage: Stage, person: Person, pet: Json, known: Choice) -> None:
    """The second story: the provider will not give the money back, so everything stands as before."""
    stage.told.story(
        "The provider refuses a refund",
        f"{person.name} books again, with a card whose bank takes no money back. The cancellation has to be undone.",
    )
    choice = await scenes.find_slot_again(stage, person, known)
    reservation = await scenes.hold(stage, person, pet, choice)
    booking = await scenes.pay(stage, person, reservation, "tok_refund_refused")
    before = await scenes.ledger(stage, booking, 1)
    scenes.show_ledger(stage, "The ledger before", before)
    await scenes.ask_to_cancel(stage, person, booking, choice, "Moko is well again")
    after = await scenes.outcome_of_cancellation(stage, person, booking)
    stage.told.step(f"The cancellation is {plain(after['cancellation_status'], 'CANCELLATION_STATUS_')}")
    stage.told.fact("booking", f"{after['reference_code']}, {plain(after['status'], 'BOOKING_STATUS_')}")
    await _show_saga(stage, booking)
    changed = [field for field in _SAME_AFTER_A_REFUSAL if after[field] != booking[field]]
    entries = await scenes.ledger(stage, booking, 2)
    total = scenes.show_ledger(stage, "The ledger after: the refund's line is cancelled, the sum is as before", entries)
    if changed or total != sum(Decimal(entry["total_amount"]["amount"]) for entry in before):
        raise StoryWentWrong(f"The booking or its ledger did not come back as it was: {', '.join(changed) or total}.")
    await news.show_what_people_heard(stage, person, booking, {"booking_confirmed", "cancellation_refused"})


async def _show_saga(stage: Stage, booking: Json) -> None:
    """What the saga did, step by step, as an administrator sees it."""

    async def ended() -> Json | None:
        found = await stage.admin.get("/v1/operations/sagas", business_key=f"cancellation:{booking['id']}:")
        return next((saga for saga in found["sagas"] if saga["status"] == "compensated"), None)

    saga = await stage.until("the cancellation saga to end", ended)
    whole: Json = (await stage.admin.get(f"/v1/operations/sagas/{saga['id']}"))["saga"]
    stage.told.step(f"What the saga did, as an administrator sees it: {whole['status']}")
    rows = [
        (
            f"{milliseconds_between(whole['timeline'][0]['at'], line['at']):.0f} ms",
            line["step"].replace("_", " "),
            line["direction"],
            line["kind"].replace("_", " "),
            line["detail"],
        )
        for line in whole["timeline"]
    ]
    stage.told.table(("after", "step", "direction", "outcome", ""), rows, right=[0])


def say_where_things_are(told: Transcript, endpoints: Mapping[str, Any]) -> None:
    """Addresses and people, for whoever wants to go on by hand."""
    told.section("Where things are")
    told.fact("gateway", endpoints["gateway_url"])
    told.fact("API pages", f"{endpoints['gateway_url']}/docs")
    told.fact("mails", endpoints["mail"]["folder"])
    told.fact("logs", endpoints["logs"])
    told.fact("everything", str(Path(endpoints["logs"]).parent / "stack.json"))
    told.fact("to stop", "`make up` serves until Ctrl-C; `make clean` removes all data")
    told.section("Who can sign in")
    people = [(who.replace("_", " "), said["email"], said["password"]) for who, said in endpoints["users"].items()]
    told.table(("who", "e-mail", "password"), people)
