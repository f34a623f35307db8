"""A mutation with a request id happens once.

The claim of the id, the effects and the reply commit together. The same id with the same request gets the stored
reply; with another request it is refused. Two at the same time: the second waits for the first, then gets its reply.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from psycopg.errors import UniqueViolation
from sqlalchemy import text

from petpro_common import context
from petpro_common.context import CallContext
from petpro_common.db import Database, LateWrite, Row, Transaction
from petpro_common.errors import RequestIdReused
from petpro_common.wire import BoundStatement

IDEMPOTENCY_V1 = """
CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    method text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    reply bytea,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (caller, method, key)
);
CREATE INDEX idx_idempotency_keys_created ON idempotency_keys USING brin (created_at);
"""

# For the reasons in messaging.schema.STORAGE_V1.
IDEMPOTENCY_STORAGE_V1 = """
ALTER TABLE idempotency_keys SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
DROP INDEX idx_idempotency_keys_created;
CREATE INDEX idx_idempotency_keys_created ON idempotency_keys (created_at);
"""

_CLAIM = text("""
    INSERT INTO idempotency_keys (caller, method, key, request_hash) VALUES (:caller, :method, :key, :request_hash)
    ON CONFLICT DO NOTHING RETURNING 1
""")
_STORED = text(
    "SELECT request_hash, reply FROM idempotency_keys WHERE caller = :caller AND method = :method AND key = :key"
)
_STORE = text("UPDATE idempotency_keys SET reply = :reply WHERE caller = :caller AND method = :method AND key = :key")
_KEEP = text("""
    INSERT INTO idempotency_keys (caller, method, key, request_hash, reply)
    SELECT * FROM unnest(CAST(:callers AS text[]), CAST(:methods AS text[]), CAST(:keys AS text[]),
                         CAST(:hashes AS bytea[]), CAST(:replies AS bytea[]))
""")

_FORGET = text("DELETE FROM idempotency_keys WHERE caller = ANY(CAST(:callers AS text[]))")

# Each is looked up by its key, whatever is planned while the table is small.
_STORED_ALL = text("""
    SELECT given.caller, given.method, given.key, kept.request_hash, kept.reply
    FROM unnest(CAST(:callers AS text[]), CAST(:methods AS text[]), CAST(:keys AS text[])) AS given(caller, method, key)
    CROSS JOIN LATERAL (
        SELECT request_hash, reply FROM idempotency_keys
        WHERE caller = given.caller AND method = given.method AND key = given.key OFFSET 0) kept
""")

Reply = TypeVar("Reply", bound=Message)
Done = TypeVar("Done")


@dataclass(frozen=True)
class Claim:
    """A caller's request id, and a hash of what is asked for under it."""

    caller: str
    method: str
    key: str
    request_hash: bytes

    @property
    def name(self) -> dict[str, str]:
        return {"caller": self.caller, "method": self.method, "key": self.key}

    def answer(self, request_hash: bytes, reply: bytes, reply_type: type[Reply]) -> Reply | RequestIdReused:
        """The stored reply, or the error when it answers another request."""
        if bytes(request_hash) != self.request_hash:
            return RequestIdReused()
        return reply_type.FromString(bytes(reply))


def claim_of(request: Message) -> Claim | None:
    """What the call in hand claims; None when it came without a request id."""
    call = context.current()
    if call is None or not call.idempotency_key:
        return None
    return Claim(call.caller.id if call.caller else "", call.method, call.idempotency_key, _fingerprint(request))


async def once(
    database: Database,
    request: Message,
    reply_type: type[Reply],
    work: Callable[[Transaction], Awaitable[Reply]],
    *,
    dry_run: bool = False,
) -> Reply:
    """Runs `work` in a transaction of its own, once per caller, method and request id.

    Without a request id it simply runs, and so does a dry run: an id is kept for what changes something. Raises
    RequestIdReused when the id came before with another request. When `work` raises, nothing is kept and the id is
    free again.
    """
    claim = None if dry_run else claim_of(request)
    async with database.transaction() as tx:
        if claim is None:
            return await work(tx)
        claimed = (await tx.execute(_CLAIM, {**claim.name, "request_hash": claim.request_hash})).scalar()
        if not claimed:
            stored = (await tx.execute(_STORED, claim.name)).one()
            answer = claim.answer(stored.request_hash, stored.reply, reply_type)
            if isinstance(answer, RequestIdReused):
                raise answer
            return answer
        reply = await work(tx)
        tx.write_late(_STORED_REPLY, {**claim.name, "reply": reply.SerializeToString()})
        return reply


async def answered(database: Database, request: Message, reply_type: type[Reply]) -> Reply | None:
    """What was answered before to the same request id, for whoever asks others before `once`: a retry needs nobody.

    None when it is new or came without one. Raises RequestIdReused as `once` does.
    """
    claim = claim_of(request)
    if claim is None:
        return None
    async with database.reading() as tx:
        answer = Stored(await tx.execute(*looking_up([claim]))).answer(claim, reply_type)
    if isinstance(answer, RequestIdReused):
        raise answer
    return answer


async def was_used(database: Database, request: Message) -> bool:
    """Whether anything was answered under the same request id, for whoever pays much to tell two requests apart."""
    claim = claim_of(request)
    if claim is None:
        return False
    async with database.reading() as tx:
        return (await tx.execute(_STORED, claim.name)).first() is not None


async def together(
    database: Database, call: CallContext, work: Callable[[Transaction], Awaitable[Done]], calls: int
) -> Done:
    """Runs `work` in a transaction for so many calls at once, as `call`; it looks up and keeps replies by itself.

    It runs once more where another transaction has answered one of the same requests since it looked. Several wait for
    a lock only briefly: whoever does not need it waits with them.
    """

    async def run() -> Done:
        async with database.transaction() as tx:
            if calls > 1:
                tx.wait_briefly()
            return await work(tx)

    with context.within(call):
        try:
            return await run()
        except UniqueViolation as fault:
            if fault.diag.table_name != "idempotency_keys":
                raise
        return await run()


def looking_up(claims: Iterable[Claim | None]) -> BoundStatement:
    """The statement that finds what was answered before, for a round trip with others; see `Stored`."""
    names = [claim.name for claim in claims if claim]
    return _STORED_ALL, {f"{part}s": [name[part] for name in names] for part in ("caller", "method", "key")}


class Stored:
    """The replies that `looking_up` has found.

    What a request changes is locked before they are looked up: then its copy, which waited, finds the reply.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {(row.caller, row.method, row.key): row for row in rows}

    def answer(self, claim: Claim | None, reply_type: type[Reply]) -> Reply | RequestIdReused | None:
        """What was answered to a request before, or the error when its id came with another; None when it is new."""
        row = claim and self._rows.get((claim.caller, claim.method, claim.key))
        return claim.answer(row.request_hash, row.reply, reply_type) if claim and row else None


def keep(tx: Transaction, claim: Claim, reply: Message) -> None:
    """Claims and stores at once what was asked and answered in this transaction; see `together`."""
    tx.write_late(_CLAIMED_REPLIES, (claim, reply.SerializeToString()))


def go_on(tx: Transaction, request: Message, reply: Message) -> None:
    """Replaces the reply kept under the request's id by what it has come to since."""
    if claim := claim_of(request):
        tx.write_late(_STORED_REPLY, {**claim.name, "reply": reply.SerializeToString()})


def forget(tx: Transaction, callers: Iterable[UUID]) -> None:
    """Forgets what people were answered: it may be about them."""
    tx.write(_FORGET, {"callers": [str(caller) for caller in callers]})


def _columns(replies: list[tuple[Claim, bytes]]) -> Mapping[str, Any]:
    return {
        "callers": [claim.caller for claim, _ in replies],
        "methods": [claim.method for claim, _ in replies],
        "keys": [claim.key for claim, _ in replies],
        "hashes": [claim.request_hash for claim, _ in replies],
        "replies": [reply for _, reply in replies],
    }


_CLAIMED_REPLIES = LateWrite(_KEEP, _columns)
_STORED_REPLY = LateWrite(_STORE, lambda replies: replies[0])


def _fingerprint(request: Message) -> bytes:
    """A hash of the request without its id, which may also stand in the metadata."""
    bare = type(request)()
    bare.CopyFrom(request)
    if "request_id" in bare.DESCRIPTOR.fields_by_name:
        bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
