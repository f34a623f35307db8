"""Without a taker of traces ids are made and passed on, and nothing is recorded."""

import pytest
from opentelemetry import trace

from petpro_common import telemetry

pytestmark = pytest.mark.unit

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def untold() -> None:
    telemetry.configure_tracing("booking", None)


def test_a_trace_that_was_begun_elsewhere_goes_on_unrecorded_under_its_own_state() -> None:
    with telemetry.span("hold", {"traceparent": f"00-{TRACE}-{ABOVE}-01", "tracestate": "gateway=1"}):
        sent = telemetry.trace_headers()
        assert not trace.get_current_span().is_recording()
    version, trace_id, span_id, flags = sent["traceparent"].split("-")
    assert (version, trace_id, flags, sent["tracestate"]) == ("00", TRACE, "00", "gateway=1")
    assert span_id != ABOVE


def test_what_nobody_asked_for_begins_a_trace_of_its_own() -> None:
    found = set()
    for _ in range(2):
        with telemetry.span("purge", {}):
            found.add(telemetry.trace_id_in(telemetry.trace_headers()))
    assert len(found) == 2
    assert "" not in found
    assert telemetry.traceparent() is None


def test_a_fault_passes_through_a_span() -> None:
    with pytest.raises(KeyError), telemetry.span("hold", {}):
        raise KeyError


@pytest.mark.parametrize(
    ("state", "passed_on"),
    [("gateway=" + "x" * 200, True), (",".join(f"system{number}={'x' * 200}" for number in range(3)), False)],
)
def test_a_long_state_is_not_passed_on_and_its_trace_is(state: str, passed_on: bool) -> None:
    with telemetry.span("hold", {"traceparent": f"00-{TRACE}-{ABOVE}-01", "tracestate": state}):
        sent = telemetry.trace_headers()
    assert telemetry.trace_id_in(sent) == TRACE
    assert sent.get("tracestate", "") == (state if passed_on else "")
