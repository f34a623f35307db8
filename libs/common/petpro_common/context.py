"""What is known of the call in hand: who calls, and which ids name it in logs, traces and replies."""

import functools
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar
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
    until: float = field(default=math.inf, compare=False)
    """When the token runs out, in seconds since 1970."""

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
    """The call in hand. `idempotency_key` is what the caller sent as Idempotency-Key, or empty.

    `begins_work`: somebody asks for something that can be asked for without end; see `ends_what_was_begun`.
    `others`: the further methods of a batch, which is one call.
    """

    method: str
    request_id: str
    idempotency_key: str = ""
    caller: Caller | None = None
    begins_work: bool = False
    others: tuple[str, ...] = ()


Arguments = ParamSpec("Arguments")
Reply = TypeVar("Reply")

_LONGEST_ID = 64
_current: ContextVar[CallContext | None] = ContextVar("petpro_call", default=None)
_subject: ContextVar[Mapping[str, str]] = ContextVar("petpro_subject", default=MappingProxyType({}))


@contextmanager
def within(call: CallContext) -> Iterator[None]:
    """Makes `call` the one in hand."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def replace_current(call: CallContext) -> None:
    """Replaces the call of the enclosing `within`, until that block ends."""
    _current.set(call)


def current() -> CallContext | None:
    """The call in hand, or None outside of one."""
    return _current.get()


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Has log lines say what the work is about, by ids such as `booking_id` and `saga_id`; empty ones are left out.

    Of what a stranger calls an id only so much is written as an id has.
    """
    token = _subject.set({**_subject.get(), **{name: str(id_)[:_LONGEST_ID] for name, id_ in ids.items() if id_}})
    try:
        yield
    finally:
        _subject.reset(token)


def subject() -> Mapping[str, str]:
    """The ids of what the work in hand is about."""
    return _subject.get()


def ends_what_was_begun(
    rpc: Callable[Arguments, Coroutine[Any, Any, Reply]],
) -> Callable[Arguments, Coroutine[Any, Any, Reply]]:
    """For an RPC that brings something to its end, and so cannot be asked for more often than there are such things.

    It is taken also while new work is refused (`messaging.backlog`), which would keep a seat, a saga or money in the
    air.
    """

    @functools.wraps(rpc)
    async def serve(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Reply:
        call = current()
        with within(replace(call, begins_work=False)) if call else nullcontext():
            return await rpc(*args, **kwargs)

    return serve


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


def service_alone(name: str) -> None:
    """Raises Forbidden unless the service of this name calls: other services and administrators may not."""
    if signed_in() != Caller(name, Role.SERVICE):
        raise Forbidden
