"""The edge of every service: one interceptor through which every call comes in. Calls go out by `channels`.

For each call the interceptor, in this order: names it (request id, trace), finds out who calls, checks the field
rules of the request, sets a deadline when the caller gave none, runs the servicer, and turns a typed error into a
status with google.rpc details. A fault of ours is logged in full and told to the caller as INTERNAL without its text.

A call that is answered by a stream goes the same way. It is no call in hand, which would be soon answered: streams are
counted, bounded and measured by themselves.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_status import rpc_status
from prometheus_client import Histogram

from petpro_common import context, errors, field_rules, telemetry, tls
from petpro_common.auth import Verifier, identify
from petpro_common.context import CallContext
from petpro_common.ids import new_id_text
from petpro_common.statuses import InternalFault, as_typed, status_code, to_status

DEFAULT_DEADLINE_SECONDS = 10.0
LONGEST_STREAM_SECONDS = 270.0
"""A servicer ends its streams before, and says why; one that nobody reads is broken off."""
MAX_REQUEST_BYTES = 1 << 20
MOST_METADATA_BYTES = 32 << 10
"""More than the gateway takes of a stranger (16 KiB) and adds; gRPC counts 32 bytes more for each header."""
WHAT_IS_TAKEN: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES + 1024),
    ("grpc.compression_enabled_algorithms_bitset", 1 << grpc.Compression.NoCompression),
    ("grpc.max_metadata_size", MOST_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MOST_METADATA_BYTES),
)
"""What a server takes of strangers. A compressed message is refused with UNIMPLEMENTED: gRPC unpacks one before it asks
for its size, and half a mebibyte can become four hundred. Metadata of more than 8 KiB gRPC by itself refuses by chance.
"""
_ANSWER_MARGIN_SECONDS = 0.02  # kept back, so that a time-out is still told to the caller
_LONGEST = 3600.0
_LONGEST_UNREAD_SECONDS = 3  # of the gateway's five: two are left to answer in. A crowd that comes at once is served
_LONGEST_CONNECTION_SECONDS = 300
_LONGEST_REQUEST_ID = 128
_PLUMBING = ("/grpc.health.", "/grpc.reflection.")

_log = structlog.get_logger()

Behaviour = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]
StreamedBehaviour = Callable[[Any, aio.ServicerContext[Any, Any]], AsyncIterator[Any]]


@dataclass
class Kind:
    """Calls that are answered in one way: how many may be in hand, for how many seconds, and where it is told."""

    most: int
    took: Histogram
    usually: float
    """Seconds that a call has whose caller gave no deadline."""
    at_most: float
    in_hand: int = 0
    """Calls that are being served."""


def _reader(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads a request, or gives None: gRPC itself would call it a fault of ours."""

    def read(request: bytes) -> Any:
        try:
            return deserialize(request)
        except DecodeError:
            return None

    return read


def request_id_in(metadata: Mapping[str, str]) -> str:
    """The caller's, or a new one where theirs cannot be passed on: gRPC sends printable ASCII alone."""
    given = metadata.get("x-request-id", "")
    is_fit = 0 < len(given) <= _LONGEST_REQUEST_ID and given.isascii() and given.isprintable()
    return given if is_fit else new_id_text()


def _idempotency_key(request: Any, metadata: Mapping[str, str]) -> str:
    """The request's own or the header's, or empty. Raises InvalidRequest where it is unfit, and where the two differ:
    whoever says two keys would have acted twice if they had meant the other one."""
    own, header = getattr(request, "request_id", ""), metadata.get("idempotency-key", "")
    if own and header and own != header:
        raise errors.invalid("request_id", "is another key than the header Idempotency-Key; send one of the two")
    key = own or header
    if len(key) > 128 or not key.isprintable():
        raise errors.invalid("idempotency-key", "must be at most 128 printable characters")
    return key


def _written(behaviour: StreamedBehaviour) -> Behaviour:
    """The same answers, written one by one. So a call is one task from its beginning to its end, and whoever hangs up,
    at whatever place, has all of it ended there and then: of an iterator that is left lying nobody knows when it ends.
    """

    async def serve(request: Any, grpc_context: aio.ServicerContext[Any, Any]) -> None:
        async with aclosing(behaviour(request, grpc_context)) as answers:  # type: ignore[type-var]  # a generator is one
            async for answer in answers:
                await grpc_context.write(answer)

    return serve


class Edge(aio.ServerInterceptor):
    """The one interceptor of a service; see the module.

    While `most_calls` are in hand, further ones are refused with Overloaded before anything is done for them, even
    reading them: what is refused must cost little, or a service under load does nothing else. So are streams beyond
    `most_streams`.
    """

    def __init__(self, service: str, verifier: Verifier, most_calls: int = 256, most_streams: int = 1000) -> None:
        self._domain = f"{service}.petpro"
        self._verifier = verifier
        self._wrapped: dict[str, Any] = {}
        self.calls = Kind(most_calls, telemetry.RPC_SECONDS, DEFAULT_DEADLINE_SECONDS, _LONGEST)
        self.streams = Kind(most_streams, telemetry.STREAM_SECONDS, LONGEST_STREAM_SECONDS, LONGEST_STREAM_SECONDS)
        self._overloaded = rpc_status.to_status(to_status(errors.Overloaded(), self._domain))
        self._shedding: Any = grpc.unary_unary_rpc_method_handler(self._shed)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        method = details.method
        if method.startswith(_PLUMBING):
            return await continuation(details)
        if self.calls.in_hand >= self.calls.most:
            return self._shedding
        handler = await continuation(details)
        if handler is None or handler.request_streaming:  # no contract has a request that is a stream
            return None
        if handler.response_streaming and self.streams.in_hand >= self.streams.most:
            return self._shedding
        if method not in self._wrapped:
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Any) -> Any:
        if handler.response_streaming:
            make, behaviour, kind = grpc.unary_stream_rpc_method_handler, _written(handler.unary_stream), self.streams
        else:
            make, behaviour, kind = grpc.unary_unary_rpc_method_handler, handler.unary_unary, self.calls
        return make(
            self._guarded(method, behaviour, kind),
            request_deserializer=_reader(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    async def _shed(self, _: bytes, grpc_context: aio.ServicerContext[Any, Any]) -> None:
        telemetry.CALLS_SHED.inc()
        await grpc_context.abort_with_status(self._overloaded)

    def _guarded(self, method: str, behaviour: Behaviour, kind: Kind) -> Behaviour:
        took = kind.took.labels(method, grpc.StatusCode.OK.name)

        async def serve(request: Any, grpc_context: aio.ServicerContext[Any, Any]) -> Any:
            metadata = {key: value for key, value in grpc_context.invocation_metadata() or () if isinstance(value, str)}
            call = CallContext(method, request_id_in(metadata))
            started = time.perf_counter()
            code = grpc.StatusCode.OK
            reply = None
            with (
                telemetry.span(method, metadata),
                context.within(call),
                context.about(booking_id=getattr(request, "booking_id", ""), saga_id=getattr(request, "saga_id", "")),
            ):
                kind.in_hand += 1
                try:
                    reply = await self._answer(call, behaviour, kind, request, metadata, grpc_context)
                except asyncio.CancelledError:  # who asked has gone
                    code = grpc.StatusCode.CANCELLED
                    raise
                except Exception as fault:  # noqa: BLE001  # the caller must not see a fault of ours
                    error = as_typed(fault)
                    code = status_code(error)
                    self._report(method, code, error, fault)
                    await grpc_context.abort_with_status(rpc_status.to_status(to_status(error, self._domain)))
                finally:
                    kind.in_hand -= 1
                    ended = took if code is grpc.StatusCode.OK else kind.took.labels(method, code.name)
                    ended.observe(time.perf_counter() - started)
            return reply

        return serve

    async def _answer(
        self,
        call: CallContext,
        behaviour: Behaviour,
        kind: Kind,
        request: Any,
        metadata: dict[str, str],
        grpc_context: aio.ServicerContext[Any, Any],
    ) -> Any:
        caller = await identify(self._verifier, metadata)
        if request is None:
            raise errors.invalid("", "the request cannot be read; every text in it must be UTF-8")
        field_rules.check(request)
        remaining: float | None = grpc_context.time_remaining()
        allowed = kind.usually if remaining is None else min(remaining - _ANSWER_MARGIN_SECONDS, kind.at_most)
        key = _idempotency_key(request, metadata)
        context.replace_current(replace(call, idempotency_key=key, caller=caller, begins_work=True))
        async with asyncio.timeout(allowed):
            return await behaviour(request, grpc_context)

    def _report(self, method: str, code: grpc.StatusCode, error: errors.PetProError, fault: Exception) -> None:
        if isinstance(error, InternalFault):
            _log.error("call failed", method=method, code=code.name, exc_info=fault)
        elif isinstance(error, errors.Unavailable):
            _log.warning("call failed", method=method, code=code.name, reason=error.reason, cause=type(fault).__name__)
        else:
            _log.info("call refused", method=method, code=code.name, reason=error.reason)


def listen(server: aio.Server, address: str, *, tls_folder: str = "") -> int:
    """Has the server listen there, for callers with a certificate where there is a folder of them; at which port."""
    if tls_folder:
        return server.add_secure_port(address, tls.server_credentials(tls_folder))
    return server.add_insecure_port(address)


def server(edge: Edge) -> aio.Server:
    """A server behind the edge. Connections are renewed after five minutes, so that new replicas get their share; a
    stream that began on an old one goes on there until its own end.

    Calls that come faster than they are read wait within the gRPC library, one behind the other. What has waited for
    three seconds there is given up with CANCELLED: else, in an overload that lasts, every call would wait until its
    caller has gone, and all work would be for nobody.
    """
    return aio.server(
        interceptors=[edge],
        options=(
            ("grpc.so_reuseport", 0),
            *WHAT_IS_TAKEN,
            ("grpc.max_connection_age_ms", _LONGEST_CONNECTION_SECONDS * 1000),
            ("grpc.max_connection_age_grace_ms", round(LONGEST_STREAM_SECONDS * 1000) + 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.server_max_unrequested_time_in_server", _LONGEST_UNREAD_SECONDS),
        ),
    )
