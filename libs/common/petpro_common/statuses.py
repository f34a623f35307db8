"""Typed errors as gRPC statuses with google.rpc details: what a caller is told when a call fails."""

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
