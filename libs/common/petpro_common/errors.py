"""The typed errors of PetPro, one tree.

    PetProError
    ├── InvalidRequest        INVALID_ARGUMENT     lists the field violations
    ├── Unauthenticated       UNAUTHENTICATED
    ├── Forbidden             PERMISSION_DENIED
    ├── NotFound              NOT_FOUND            also for what the caller may not see
    ├── AlreadyExists         ALREADY_EXISTS
    ├── WrongState            FAILED_PRECONDITION
    ├── Overloaded            RESOURCE_EXHAUSTED   says when to try again
    │   └── OutboxFull                             new work alone; what ends something goes on
    ├── DeadlineExceeded      DEADLINE_EXCEEDED
    └── Unavailable           UNAVAILABLE          says when to try again

A service subclasses these in its `domain.py` or `errors.py`; the docstring of the subclass is the message that the
caller reads and its `reason` is documented in the service's `error_reason.proto`. Only the edge (`rpc`) has them turned
into `statuses`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True)
class FieldViolation:
    """One broken rule: the field's path as the caller wrote it, and what is wrong."""

    field: str
    description: str


class PetProError(Exception):
    """Something went wrong."""

    reason: ClassVar[str] = "INTERNAL"
    retry_after: timedelta | None = None

    def __init__(self, **metadata: object) -> None:
        """Keeps `metadata` as strings for the caller's program; it must hold no secret and no personal data."""
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """What a person reads: the docstring of the error's class."""
        return " ".join((type(self).__doc__ or "").split())


class InvalidRequest(PetProError):
    """The request breaks one or more field rules."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: FieldViolation) -> None:
        self.violations = violations
        super().__init__()


class Unauthenticated(PetProError):
    """A valid access token is needed."""

    reason = "UNAUTHENTICATED"


class Forbidden(PetProError):
    """The caller may not do this."""

    reason = "FORBIDDEN"


class NotFound(PetProError):
    """There is no such thing."""

    reason = "NOT_FOUND"


class AlreadyExists(PetProError):
    """It exists already."""

    reason = "ALREADY_EXISTS"


class RequestIdReused(AlreadyExists):
    """The request id was used before for another request."""

    reason = "REQUEST_ID_REUSED"


class WrongState(PetProError):
    """The state of things does not allow this now."""

    reason = "WRONG_STATE"


class Overloaded(PetProError):
    """Too much is asked at once; try again a little later."""

    reason = "OVERLOADED"
    retry_after = timedelta(seconds=1)


class OutboxFull(Overloaded):
    """Too much waits to be told to the other services, so nothing new is begun; try again later."""

    reason = "OUTBOX_FULL"
    retry_after = timedelta(seconds=15)


class DeadlineExceeded(PetProError):
    """The deadline of the call ran out; whether it took effect is not known."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(PetProError):
    """A part that is needed is away; try again a little later."""

    reason = "UNAVAILABLE"
    retry_after = timedelta(seconds=1)


def invalid(field: str, description: str) -> InvalidRequest:
    """An `InvalidRequest` about one field."""
    return InvalidRequest(FieldViolation(field, description))
