"""How booking starts sagas for calls that come at the same time: in one transaction, each call with its own outcome.

What a call is about (a booking, a held seat) is locked first, and then its request id is looked up: a copy of the
request that waited for the lock finds the reply.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from petpro_common import idempotency, telemetry
from petpro_common.context import Caller
from petpro_common.db import Row, Rows, Transaction
from petpro_common.errors import PetProError
from petpro_common.saga import SagaEngine
from petpro_common.saga.engine import Start
from petpro_common.wire import BoundStatement


@dataclass(frozen=True, kw_only=True)
class SagaRequest:
    """That a saga be started about something, in the trace of the call in hand."""

    caller: Caller
    about: UUID
    claim: idempotency.Claim | None
    place: telemetry.Place = field(default_factory=telemetry.place)


Request = TypeVar("Request", bound=SagaRequest)
Reply = TypeVar("Reply", bound=Message)
Refusals: TypeAlias = Mapping[UUID, PetProError]


async def _nobody(_tx: Transaction, _could: Sequence[tuple[SagaRequest, Row]]) -> Refusals:
    return {}


@dataclass(frozen=True)
class Ways(Generic[Request, Reply]):
    """What is particular to one kind of saga."""

    lock: Callable[[Sequence[Request]], BoundStatement]
    """The statement that locks what requests are about, in the order of the ids."""
    decide: Callable[[Request, Row | None], Start | BoundStatement]
    """The saga, by what was locked; or what is written where one on its way will see to the request. Raises a typed
    error that speaks against both."""
    look: Callable[[Sequence[UUID]], BoundStatement]
    """The statement that looks at it again once the sagas have begun."""
    reply_type: type[Reply]
    reply: Callable[[Row], Reply]
    """The reply, by what was looked at."""
    refuse: Callable[[Transaction, Sequence[tuple[Request, Row]]], Awaitable[Refusals]] = _nobody
    """What speaks against some of those that could begin, by what they are about; asked last, under their locks."""


async def start(
    tx: Transaction, engine: SagaEngine, ways: Ways[Request, Reply], requests: Sequence[Request]
) -> list[Reply | PetProError]:
    """Starts a saga for each of the requests, which are about different things: a reply or a typed error for each."""
    looking_up = idempotency.looking_up(request.claim for request in requests)
    locking, found = await tx.execute_all([ways.lock(requests), looking_up])
    locked, stored = _by_id(locking), idempotency.Stored(found)
    starts, outcomes = _decided(ways, requests, locked, stored)
    could = [(request, locked[request.about]) for request in requests if request.about in starts]
    for about, refusal in (await ways.refuse(tx, could)).items():
        del starts[about]
        outcomes[about] = refusal
    if starts:
        for noted in (each for each in starts.values() if not isinstance(each, Start)):
            tx.write(*noted)
        await engine.start_all(tx, [each for each in starts.values() if isinstance(each, Start)])
        begun = _by_id(await tx.execute(*ways.look(list(starts))))
        for request in requests:
            if request.about in starts:
                reply = outcomes[request.about] = ways.reply(begun[request.about])
                if request.claim:
                    idempotency.keep(tx, request.claim, reply)
    return [outcomes[request.about] for request in requests]


def _decided(
    ways: Ways[Request, Reply], requests: Sequence[Request], locked: Mapping[UUID, Row], stored: idempotency.Stored
) -> tuple[dict[UUID, Start | BoundStatement], dict[UUID, Reply | PetProError]]:
    """The sagas that could begin, or what is written instead, and what the others are told: what they were before, or
    why not."""
    starts: dict[UUID, Start | BoundStatement] = {}
    outcomes: dict[UUID, Reply | PetProError] = {}
    for request in requests:
        if before := stored.answer(request.claim, ways.reply_type):
            outcomes[request.about] = before
            continue
        try:
            starts[request.about] = ways.decide(request, locked.get(request.about))
        except PetProError as refused:
            outcomes[request.about] = refused
    return starts, outcomes


def _by_id(rows: Rows) -> dict[UUID, Row]:
    return {row.id: row for row in rows}
