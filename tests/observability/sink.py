"""Somebody who takes traces: OTLP over gRPC, kept in memory for a test to look through."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """One span, with ids in hexadecimal; `parent` is empty for the first of a trace."""

    service: str
    name: str
    trace: str
    id: str
    parent: str


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    """Every span that has come."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.address = ""

    def Export(self, request: trace_service.ExportTraceServiceRequest, context: Any) -> Any:  # noqa: N802 -- its name
        for resource in request.resource_spans:
            named = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self.spans.append(Span(named["service.name"], span.name, *ids))
        return trace_service.ExportTraceServiceResponse()

    def of(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    def way_to(self, last: Span) -> list[Span]:
        """The spans from the first one of the trace to this one; empty while one of them is yet to come.

        Each service sends its spans when it likes to: a child often comes before its parent.
        """
        by_id = {span.id: span for span in self.of(last.trace)}
        way = [last]
        while way[0].parent:
            if way[0].parent not in by_id:
                return []
            way.insert(0, by_id[way[0].parent])
        return way


@contextmanager
def sink() -> Iterator[Sink]:
    """Listens on a port of loopback until the block ends."""
    taking, server = Sink(), grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(taking, server)  # type: ignore[no-untyped-call]
    taking.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield taking
    finally:
        server.stop(None).wait()
