"""One booking is one trace from the gateway to the last consumer, and its logs name it and nobody."""

import json
from collections.abc import Iterator

import httpx
import pytest

from devstack.api import Json
from devstack.layout import SERVICES
from devstack.running import RunningStack
from devstack.services import TRACES
from devstack.testing import StartStack
from tests.observability.sink import Sink, Span, sink
from tests.waiting import eventually
from tests.world import World, open_world

_TOLD = "petpro.events.booking.confirmed"
_TAKE = "petpro.commands.payment.take_payment"
_REPLY = "petpro.replies.checkout"
_RESERVE = "petpro.commands.payment.reserve_refund"  # it takes that of submitting along
_SUBMIT = "petpro.commands.payment.submit_refund"


@pytest.fixture(scope="module")
def taking() -> Iterator[Sink]:
    with sink() as taken:
        yield taken


@pytest.fixture(scope="module")
def traced(taking: Sink, start_own_stack: StartStack) -> Iterator[RunningStack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRACES, taking.address)
        yield start_own_stack()


async def test_a_checkout_is_one_trace_from_the_gateway_to_who_is_told_last(traced: RunningStack, taking: Sink) -> None:
    async with open_world(traced) as world:
        clinic, customer = await world.clinic(), await world.customer()
        reservation = await world.hold(customer, clinic.slot())
        begun = {span.trace for span in taking.spans}
        await world.checkout(customer, reservation)
        await world.checkout_ends(customer, reservation, "CONFIRMED")

        async def told() -> list[Span] | None:
            ends = [span for span in taking.spans if (span.service, span.name) == ("petpro-notification", _TOLD)]
            ways = [taking.way_to(end) for end in ends if end.trace not in begun]
            return next((way for way in ways if way and way[0].service == "petpro-gateway"), None)

        way = await eventually("a trace from the gateway to notification", told)
        assert "CheckoutReservation" in way[1].name, "the call, in which the saga begins"
        assert [(span.service, span.name) for span in way[2:]] == [
            ("petpro-booking", f"publish {_TAKE}"),
            ("petpro-payment", _TAKE),
            ("petpro-payment", "worker payment"),
            ("petpro-payment", f"publish {_REPLY}"),
            ("petpro-booking", _REPLY),  # in which the booking is made
            ("petpro-booking", f"publish {_TOLD}"),
            ("petpro-notification", _TOLD),
        ]

        asked = await _way_to_the_provider(taking, way[0].trace)
        assert asked[:-1] == way[:5]


async def test_a_cancellation_is_one_trace_from_the_gateway_to_the_provider(traced: RunningStack, taking: Sink) -> None:
    async with open_world(traced) as world:
        clinic, customer = await world.clinic(), await world.customer()
        booking = await world.book(customer, clinic.slot(2))
        begun = {span.trace for span in taking.spans}
        await world.cancel(customer.api, booking["id"])

        async def submitted() -> str | None:
            ends = [span for span in taking.spans if (span.service, span.name) == ("petpro-payment", _SUBMIT)]
            return next((end.trace for end in ends if end.trace not in begun), None)

        asked = await _way_to_the_provider(
            taking, await eventually("the refund to be submitted", submitted), about="refund"
        )
        assert asked[0].service == "petpro-gateway"
        assert "CancelBooking" in asked[1].name
        assert [span.name for span in asked[-3:]] == [f"publish {_RESERVE}", "worker refund", "ask sandbox"]


async def _way_to_the_provider(taking: Sink, trace: str, about: str = "payment") -> list[Span]:
    async def way() -> list[Span] | None:
        asked = [taking.way_to(span) for span in taking.of(trace) if span.name == "ask sandbox"]
        return next((way for way in asked if len(way) > 1 and way[-2].name == f"worker {about}"), None)

    return await eventually("the call of the provider in the same trace", way)


async def test_a_trace_that_a_client_began_goes_on(traced: RunningStack, taking: Sink) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with httpx.AsyncClient(base_url=traced.gateway_url, trust_env=False) as client:
        await client.get("/v1/clinics", headers={"traceparent": f"00-{trace}-{span}-01"})

    async def came() -> bool:
        services = {each.service: each.parent for each in taking.of(trace)}
        return services.keys() >= {"petpro-gateway", "petpro-catalog"} and services["petpro-gateway"] == span

    await eventually("both spans of the client's trace", came)


async def test_logs_name_the_trace_request_saga_and_booking_and_nobody(traced: RunningStack) -> None:
    async with open_world(traced) as world:
        clinic, customer = await world.clinic(), await world.customer()
        booking = await world.book(customer, clinic.slot(1))
        await world.cancel(customer.api, booking["id"])
        saga = await world.saga_ends(f"cancellation:{booking['id']}:", "completed")

        async def ended() -> Json | None:
            lines = [line for line in _lines(traced, "booking") if line.get("saga_id") == saga["id"]]
            return next((line for line in lines if line["event"] == "saga ended"), None)

        line = await eventually("the end of the saga to be logged", ended)
        assert line["booking_id"] == booking["id"]
        assert len(line["trace_id"]) == 32
        assert line["request_id"]

        async def told_by_the_provider() -> bool:
            lines = [line for line in _lines(traced, "payment") if line.get("booking_id") == booking["id"]]
            return any(line["event"] == "webhook" for line in lines)

        await eventually("the provider's word to be logged", told_by_the_provider)
        await _nobody_is_named(world, customer.email, customer.token)


async def _nobody_is_named(world: World, *words: str) -> None:
    (person,) = await world.rows("account", "SELECT * FROM users WHERE email = %(email)s", email=words[0])
    secrets = [*words, person["full_name"], person["phone_number"], person["password_hash"], "Moko", "tok_success"]
    for part in (*SERVICES, "gateway"):
        said = world.stack.log(part)
        assert [word for word in secrets if word in said] == [], f"the log of {part}"


def _lines(stack: RunningStack, part: str) -> list[Json]:
    return [json.loads(line) for line in stack.log(part).splitlines() if line.startswith("{")]
