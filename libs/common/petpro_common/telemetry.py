"""Traces and metrics of a service; its logs are made in `logs`.

Traces follow W3C Trace Context over gRPC and messages, and leave by OTLP when an endpoint is set. Metrics are
Prometheus text on the metrics address.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from random import getrandbits
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram, start_http_server

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RPC_SECONDS = Histogram(
    "petpro_rpc_seconds", "Duration of gRPC calls served", ["method", "code"], buckets=_LATENCY_BUCKETS
)
STREAM_SECONDS = Histogram(
    "petpro_stream_seconds",
    "For how long gRPC calls were open that are answered by a stream",
    ["method", "code"],
    buckets=(0.1, 1, 5, 15, 60, 120, 180, 240, 300),
)
CALLS_SHED = Counter("petpro_calls_shed_total", "gRPC calls refused unread because too many were in hand")
MESSAGES_PUBLISHED = Counter(
    "petpro_messages_published_total", "Outbox messages acknowledged by the broker", ["stream"]
)
MESSAGES_HANDLED = Counter(
    "petpro_messages_handled_total", "Messages consumed, by what became of them", ["consumer", "outcome"]
)
MESSAGE_DELAY_SECONDS = Histogram(
    "petpro_message_delay_seconds",
    "From a message's arrival at the broker until its effects were committed",
    ["stream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)
CONSUMER_PENDING = Gauge(
    "petpro_consumer_pending_messages", "Messages that the broker has not yet handed to this service", ["stream"]
)
CONSUMER_UNACKNOWLEDGED = Gauge(
    "petpro_consumer_unacknowledged_messages", "Messages that this service has in hand, or that come again", ["stream"]
)
OUTBOX_REPUBLISHED = Counter(
    "petpro_outbox_republished_total", "Outbox messages published again because the broker forgot them"
)
OUTBOX_UNPUBLISHED = Gauge(
    "petpro_outbox_unpublished", "Outbox messages that the broker never had, counted up to the limit"
)
OUTBOX_OLDEST_SECONDS = Gauge(
    "petpro_outbox_oldest_seconds", "How long the oldest of petpro_outbox_unpublished has waited; 0 when none waits"
)
OUTBOX_REFUSALS = Counter(
    "petpro_outbox_refusals_total", "Transactions that would have begun new work while too much waited in the outbox"
)
PARKED_MESSAGES = Counter("petpro_messages_parked_total", "Messages set aside for an operator", ["consumer"])
PARKED_NOW = Gauge("petpro_parked_messages", "Messages that wait for an operator")
PARKED_OLDEST_SECONDS = Gauge(
    "petpro_parked_messages_oldest_seconds", "How long the oldest of petpro_parked_messages has waited; 0 without any"
)
SAGAS_ENDED = Counter("petpro_sagas_ended_total", "Sagas that came to an end or were parked", ["saga_type", "status"])
SAGA_SECONDS = Histogram(
    "petpro_saga_seconds",
    "From the start of a saga to its end",
    ["saga_type", "status"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 86400),
)
BACKGROUND_FAILURES = Counter(
    "petpro_background_failures_total",
    "Rounds of a background task that failed and are tried again",
    ["task"],
)
BACKGROUND_FAILING_SINCE = Gauge(
    "petpro_background_failing_since_timestamp_seconds",
    "Since when (Unix time) no round of a background task has gone well; 0 after one that has",
    ["task"],
)
BUILD = Gauge("petpro_build_info", "Always 1; the service's version, and that of its tables", ["version", "schema"])
READY = Gauge("petpro_ready", "1 while the service answers for its dependencies")

Place: TypeAlias = Context
"""Somewhere in a trace."""

_RECORDED = "-01"  # the flags of a traceparent (W3C Trace Context)
_LONGEST_STATE = 512  # characters of a tracestate that everybody passes on (the same)
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("petpro")


class _Unrecorded(trace.NoOpTracer):
    """Begins spans that nobody records: they have ids, for the logs and for whoever is called."""

    def start_span(self, name: str, context: Context | None = None, *_: Any, **__: Any) -> trace.Span:  # noqa: ARG002
        above = trace.get_current_span(context).get_span_context()
        trace_id = above.trace_id if above.is_valid else getrandbits(128)
        ids = trace.SpanContext(trace_id, getrandbits(64), is_remote=False, trace_state=above.trace_state)
        return trace.NonRecordingSpan(ids)


class _Unrecording(trace.NoOpTracerProvider):
    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return _Unrecorded()


def configure_tracing(service: str, otlp_endpoint: str | None) -> None:
    """Starts spans everywhere; they are recorded and sent, and what does that is loaded, only with an endpoint.

    Whether a trace is recorded is for whoever began it to say: the gateway, for most.
    """
    if not otlp_endpoint:
        trace.set_tracer_provider(_Unrecording())
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    provider = TracerProvider(ParentBased(ALWAYS_ON), Resource.create({"service.name": f"petpro-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True)))
    trace.set_tracer_provider(provider)


def serve_metrics(address: str) -> None:
    """Serves /metrics over HTTP on a thread of its own."""
    host, _, port = address.rpartition(":")
    start_http_server(int(port), host)


@contextmanager
def span(name: str, carrier: Mapping[str, str], kind: trace.SpanKind = trace.SpanKind.SERVER) -> Iterator[None]:
    """A span that continues the trace in `carrier`, or begins one. Of a fault it tells the type, and no words."""
    begun = _tracer.start_span(name, _place_in(carrier), kind)
    token = attach(trace.set_span_in_context(begun))
    try:
        yield
    except Exception as fault:
        begun.set_status(trace.StatusCode.ERROR, type(fault).__name__)
        raise
    finally:
        detach(token)
        begun.end()


@contextmanager
def call_out(name: str) -> Iterator[None]:
    """A span for a call to the outside, where the span in hand is recorded."""
    if not trace.get_current_span().is_recording():
        yield
        return
    with span(name, trace_headers(), trace.SpanKind.CLIENT):
        yield


def is_recorded(carrier: Mapping[str, str]) -> bool:
    """Whether spans of the trace in `carrier` are recorded."""
    return carrier.get("traceparent", "").endswith(_RECORDED)


@contextmanager
def published(subject: str, headers: dict[str, str]) -> Iterator[dict[str, str]]:
    """A span for the way of a message to the broker, where its trace is recorded; its headers then lead on from it."""
    if not is_recorded(headers):
        yield headers
        return
    with span(f"publish {subject}", headers, trace.SpanKind.PRODUCER):
        yield {**headers, **trace_headers()}


def place() -> Place:
    """Where the work in hand is in its trace; see `back_in`."""
    return get_current()


@contextmanager
def back_in(place: Place) -> Iterator[None]:
    """Goes on there, without a span of its own: for work that is done for several calls at once."""
    token = attach(place)
    try:
        yield
    finally:
        detach(token)


def within_trace(carrier: Mapping[str, str]) -> AbstractContextManager[None]:
    """Goes on in the trace in `carrier`, as `back_in` does."""
    return back_in(_place_in(carrier))


def _place_in(carrier: Mapping[str, str]) -> Place:
    """Without a `tracestate` that is too long to be kept with messages and sent with calls."""
    if "traceparent" not in carrier:
        return Context()
    if len(carrier.get("tracestate", "")) > _LONGEST_STATE:
        return _propagator.extract({"traceparent": carrier["traceparent"]})
    return _propagator.extract(carrier)


def trace_id_in(carrier: Mapping[str, str]) -> str:
    """The trace that `traceparent` names; empty without one."""
    return carrier.get("traceparent", "")[3:35]


def traceparent() -> str | None:
    """The span in hand, to be kept with work that is done later; None outside of one."""
    return trace_headers().get("traceparent")


def trace_headers() -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the span in hand, to send along; empty outside of one."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    traceparent = f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"
    if not here.trace_state:
        return {"traceparent": traceparent}
    return {"traceparent": traceparent, "tracestate": here.trace_state.to_header()}
