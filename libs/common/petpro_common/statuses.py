"""Typed errors as gRPC statuses with google.rpc details: what a caller is told when a call fails.

Whatever an error says, its status is small: it travels in the headers of HTTP/2. There a client of gRPC takes 8 KiB,
and at more than 64 KiB the gateway ends its connection to the service, with the calls of everybody else on it.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from psycopg import DataError, InterfaceError, OperationalError
from psycopg.errors import FeatureNotSupported, UntranslatableCharacter

from petpro_common import errors
from petpro_common.pool import PoolExhausted

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

MOST_VIOLATIONS = 20
_ROOM_FOR_VIOLATIONS = 2600  # bytes; in base64, in which details travel, a third more
_LONGEST_TEXT, _LONGEST_NAME = 400, 100
_MOST_METADATA, _LONGEST_METADATA = 5, 200
_CUT = "..."


class InternalFault(errors.PetProError):
    """Something went wrong on our side; quote the request id to support."""


def status_code(error: errors.PetProError) -> grpc.StatusCode:
    """The gRPC status of a typed error: that of the nearest class in the tree."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return grpc.StatusCode.INTERNAL


def to_status(error: errors.PetProError, domain: str) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest or RetryInfo where they apply; 5 KiB at most.

    Of violations the first are told, 20 at most, and how many there are besides.
    """
    status = status_pb2.Status(code=status_code(error).value[0], message=_cut(error.message, _LONGEST_TEXT))
    metadata = {key: _cut(value, _LONGEST_METADATA) for key, value in islice(error.metadata.items(), _MOST_METADATA)}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=metadata))
    if isinstance(error, errors.InvalidRequest):
        violations = list(_told(error.violations))
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _told(violations: Sequence[errors.FieldViolation]) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    """As many as there is room for; the last one says how many there are besides."""
    told, room = 0, _ROOM_FOR_VIOLATIONS
    for violation in violations[:MOST_VIOLATIONS]:
        field, description = _cut(violation.field, _LONGEST_NAME), _cut(violation.description, _LONGEST_TEXT)
        each = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
        room -= each.ByteSize()
        if room < 0:
            break
        told += 1
        yield each
    if told < len(violations):
        yield error_details_pb2.BadRequest.FieldViolation(description=f"and {len(violations) - told} more")


def _cut(text: str, most: int) -> str:
    """The text in at most so many bytes."""
    written = text.encode(errors="replace")
    return written.decode() if len(written) <= most else written[: most - len(_CUT)].decode(errors="ignore") + _CUT


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
