"""The edge of every service: one interceptor through which every call comes in. Calls go out by `channels`.

For each call the interceptor, in this order: names it (request id, trace), finds out who calls, checks the field
rules of the request, sets a deadline when the caller gave none, runs the servicer, and turns a typed error into a
status with google.rpc details. A fault of ours is logged in full and told to the caller as INTERNAL without its text.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import protovalidate
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status
from psycopg import DataError, InterfaceError, OperationalError
from psycopg.errors import FeatureNotSupported, UntranslatableCharacter

from petpro_common import context, errors, telemetry, tls
from petpro_common.auth import Verifier, identify
from petpro_common.context import CallContext
from petpro_common.ids import new_id_text
from petpro_common.pool import PoolExhausted

DEFAULT_DEADLINE_SECONDS = 10.0
MAX_REQUEST_BYTES = 1 << 20
_ANSWER_MARGIN_SECONDS = 0.02  # kept back, so that a time-out is still told to the caller
_LONGEST = 3600.0
_LONGEST_UNREAD_SECONDS = 3  # of the gateway's five: two are left to answer in. A crowd that comes at once is served
_PLUMBING = ("/grpc.health.", "/grpc.reflection.")

_log = structlog.get_logger()
_validator = protovalidate.Validator()

_CODES: dict[type[errors.PetProError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}

Behaviour = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]


class InternalFault(errors.PetProError):
    """Something went wrong on our side; quote the request id to support."""


def status_code(error: errors.PetProError) -> grpc.StatusCode:
    """The gRPC status of a typed error: that of the nearest class in the tree."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return grpc.StatusCode.INTERNAL


def to_status(error: errors.PetProError, domain: str) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest or RetryInfo where they apply."""
    status = status_pb2.Status(code=status_code(error).value[0], message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata))
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def as_typed(fault: Exception) -> errors.PetProError:
    """The typed error that a caller gets for `fault`; what is not known is a fault of ours."""
    if isinstance(fault, errors.PetProError):
        return fault
    if isinstance(fault, TimeoutError):
        return errors.DeadlineExceeded()
    if isinstance(fault, UntranslatableCharacter) or (isinstance(fault, DataError) and "NUL" in str(fault)):
        return errors.invalid("", "a text holds a NUL character, which cannot be stored")
    if isinstance(fault, FeatureNotSupported):  # a migration has changed a table under a kept plan
        return errors.Unavailable()
    if isinstance(fault, PoolExhausted):
        return errors.Overloaded()
    if isinstance(fault, OperationalError | InterfaceError):
        return errors.Unavailable()
    if isinstance(fault, aio.AioRpcError) and fault.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,  # it was left unread
    ):
        return errors.Unavailable()
    return InternalFault()


def check_rules(request: Message) -> None:
    """Holds the request against the field rules in its contract. Raises InvalidRequest with every violation."""
    found = _validator.collect_violations(request)
    if found:
        raise errors.InvalidRequest(*(errors.FieldViolation(_path(v.proto), v.proto.message) for v in found))


def _path(violation: Any) -> str:
    return ".".join(element.field_name for element in violation.field.elements)


def _reader(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads a request, or gives None: gRPC itself would call it a fault of ours."""

    def read(request: bytes) -> Any:
        try:
            return deserialize(request)
        except DecodeError:
            return None

    return read


class Edge(aio.ServerInterceptor):
    """The one interceptor of a service; see the module.

    While `most_calls` are in hand, further ones are refused with Overloaded before anything is done for them, even
    reading them: what is refused must cost little, or a service under load does nothing else.
    """

    def __init__(self, service: str, verifier: Verifier, most_calls: int = 256) -> None:
        self._domain = f"{service}.petpro"
        self._verifier = verifier
        self._wrapped: dict[str, Any] = {}
        self._most_calls = most_calls
        self.in_hand = 0
        """Calls that are being served."""
        self._overloaded = rpc_status.to_status(to_status(errors.Overloaded(), self._domain))
        self._shedding: Any = grpc.unary_unary_rpc_method_handler(self._shed)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        method = details.method
        if self.in_hand >= self._most_calls and not method.startswith(_PLUMBING):
            return self._shedding
        handler = await continuation(details)
        if handler is None or method.startswith(_PLUMBING) or handler.unary_unary is None:
            return handler
        if method not in self._wrapped:
            self._wrapped[method] = grpc.unary_unary_rpc_method_handler(
                self._guarded(method, handler.unary_unary),
                request_deserializer=_reader(handler.request_deserializer),
                response_serializer=handler.response_serializer,
            )
        return self._wrapped[method]

    async def _shed(self, _: bytes, grpc_context: aio.ServicerContext[Any, Any]) -> None:
        telemetry.CALLS_SHED.inc()
        await grpc_context.abort_with_status(self._overloaded)

    def _guarded(self, method: str, behaviour: Behaviour) -> Behaviour:
        took = telemetry.RPC_SECONDS.labels(method, grpc.StatusCode.OK.name)

        async def serve(request: Any, grpc_context: aio.ServicerContext[Any, Any]) -> Any:
            metadata = {key: value for key, value in grpc_context.invocation_metadata() or () if isinstance(value, str)}
            request_id = metadata.get("x-request-id") or new_id_text()
            started = time.perf_counter()
            code = grpc.StatusCode.OK
            reply = None
            with (
                telemetry.span(method, metadata),
                context.within(CallContext(method, request_id)),
                context.about(booking_id=getattr(request, "booking_id", ""), saga_id=getattr(request, "saga_id", "")),
            ):
                self.in_hand += 1
                try:
                    reply = await self._answer(method, request_id, behaviour, request, metadata, grpc_context)
                except Exception as fault:  # noqa: BLE001  # the caller must not see a fault of ours
                    error = as_typed(fault)
                    code = status_code(error)
                    self._report(method, code, error, fault)
                    await grpc_context.abort_with_status(rpc_status.to_status(to_status(error, self._domain)))
                finally:
                    self.in_hand -= 1
                    ended = took if code is grpc.StatusCode.OK else telemetry.RPC_SECONDS.labels(method, code.name)
                    ended.observe(time.perf_counter() - started)
            return reply

        return serve

    async def _answer(
        self,
        method: str,
        request_id: str,
        behaviour: Behaviour,
        request: Any,
        metadata: dict[str, str],
        grpc_context: aio.ServicerContext[Any, Any],
    ) -> Any:
        caller = await identify(self._verifier, metadata)
        if request is None:
            raise errors.invalid("", "the request cannot be read; every text in it must be UTF-8")
        check_rules(request)
        remaining: float | None = grpc_context.time_remaining()
        allowed = DEFAULT_DEADLINE_SECONDS if remaining is None else min(remaining - _ANSWER_MARGIN_SECONDS, _LONGEST)
        key = getattr(request, "request_id", "") or metadata.get("idempotency-key", "")
        if len(key) > 128 or not key.isprintable():
            raise errors.invalid("idempotency-key", "must be at most 128 printable characters")
        context.known_by_now(CallContext(method, request_id, key, caller, begins_work=True))
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
    """A server behind the edge. Connections are renewed after five minutes, so that new replicas get their share.

    Calls that come faster than they are read wait within the gRPC library, one behind the other. What has waited for
    three seconds there is given up with CANCELLED: else, in an overload that lasts, every call would wait until its
    caller has gone, and all work would be for nobody.
    """
    return aio.server(
        interceptors=[edge],
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES + 1024),
            ("grpc.max_connection_age_ms", 300_000),
            ("grpc.max_connection_age_grace_ms", 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.server_max_unrequested_time_in_server", _LONGEST_UNREAD_SECONDS),
        ),
    )


def reason_of(call: aio.AioRpcError) -> str:
    """The ErrorInfo reason of a failed outgoing call; empty when the other side gave none."""
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
