"""How booking starts sagas for calls that come at the same time: in one transaction, each call with its own outcome.

What a call is about (a booking, a held seat) is locked first, and then its request id is looked up: a copy of the
request that waited for the lock finds the reply.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from petpro_common import idempotency, telemetry
from petpro_common.context import Caller
from petpro_common.db import Row, Transaction
from petpro_common.errors import PetProError
from petpro_common.saga import SagaEngine
from petpro_common.saga.engine import Start
from petpro_common.wire import Order


@dataclass(frozen=True, kw_only=True)
class Wish:
    """That a saga be started about something, in the trace of the call in hand."""

    caller: Caller
    about: UUID
    claim: idempotency.Claim | None
    place: telemetry.Place = field(default_factory=telemetry.place)


Asked = TypeVar("Asked", bound=Wish)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True)
class Ways(Generic[Asked, Reply]):
    """What is particular to one kind of saga."""

    lock: Callable[[Asked], Order]
    """The statement that locks what a wish is about."""
    decide: Callable[[Asked, Row | None], Start]
    """The saga, by what was locked. Raises a typed error that speaks against it."""
    look: Callable[[Asked], Order]
    """The statement that looks at it again once the saga has begun."""
    reply_type: type[Reply]
    reply: Callable[[Row], Reply]
    """The reply, by what was looked at."""


async def start(
    tx: Transaction, engine: SagaEngine, ways: Ways[Asked, Reply], wishes: Sequence[Asked]
) -> list[Reply | PetProError]:
    """Starts a saga for each of the wishes, which are about different things: a reply or a typed error for each."""
    in_order = sorted(wishes, key=lambda wish: wish.about)
    looking_up = idempotency.looking_up(wish.claim for wish in in_order)
    *locked, found = await tx.execute_all([*map(ways.lock, in_order), looking_up])
    stored, starts = idempotency.Stored(found), list[tuple[Asked, Start]]()
    outcomes: dict[UUID, Reply | PetProError] = {}
    for wish, rows in zip(in_order, locked, strict=True):
        if before := stored.answer(wish.claim, ways.reply_type):
            outcomes[wish.about] = before
            continue
        try:
            starts.append((wish, ways.decide(wish, rows.first())))
        except PetProError as refused:
            outcomes[wish.about] = refused
    if starts:
        await engine.start_all(tx, [start for _, start in starts])
        begun = await tx.execute_all([ways.look(wish) for wish, _ in starts])
        for (wish, _), rows in zip(starts, begun, strict=True):
            reply = outcomes[wish.about] = ways.reply(rows.one())
            if wish.claim:
                idempotency.keep(tx, wish.claim, reply)
    return [outcomes[wish.about] for wish in wishes]
