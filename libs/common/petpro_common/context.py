"""What is known of the call in hand: who calls, and which ids name it in logs, traces and replies."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from petpro_common.errors import Forbidden, Unauthenticated


class Role(StrEnum):
    """What a caller may do beyond their own things."""

    CUSTOMER = "customer"
    CLINIC = "clinic"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True)
class Caller:
    """Somebody whose token was verified. `id` is a user's id, or a service's name for Role.SERVICE."""

    id: str
    role: Role

    @property
    def user_id(self) -> UUID:
        """The user's id. Raises Forbidden for a service, which is nobody's user."""
        if self.role is Role.SERVICE:
            raise Forbidden
        return UUID(self.id)

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def is_trusted(self) -> bool:
        """Administrators and services see everything."""
        return self.role in (Role.ADMIN, Role.SERVICE)


@dataclass(frozen=True)
class CallContext:
    """The call in hand. `idempotency_key` is what the caller sent as Idempotency-Key, or empty."""

    method: str
    request_id: str
    idempotency_key: str = ""
    caller: Caller | None = None


_current: ContextVar[CallContext | None] = ContextVar("petpro_call", default=None)


@contextmanager
def within(call: CallContext) -> Iterator[None]:
    """Makes `call` the one in hand."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> CallContext | None:
    """The call in hand, or None outside of one."""
    return _current.get()


def maybe_caller() -> Caller | None:
    """Who calls, or None when nobody has signed in."""
    call = _current.get()
    return call.caller if call else None


def signed_in() -> Caller:
    """Who calls. Raises Unauthenticated when nobody has signed in."""
    caller = maybe_caller()
    if caller is None:
        raise Unauthenticated
    return caller


def administrator() -> Caller:
    """The administrator who calls. Raises Forbidden for everybody else."""
    caller = signed_in()
    if not caller.is_admin:
        raise Forbidden
    return caller


def trusted() -> Caller:
    """The service or administrator who calls. Raises Forbidden for everybody else."""
    caller = signed_in()
    if not caller.is_trusted:
        raise Forbidden
    return caller
