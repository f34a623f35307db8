"""A mutation with a request id happens once.

The claim of the id, the effects and the reply commit together. The same id with the same request gets the stored
reply; with another request it is refused. Two at the same time: the second waits for the first, then gets its reply.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import text

from petpro_common import context
from petpro_common.db import Database, Transaction
from petpro_common.errors import RequestIdReused

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
    INSERT INTO idempotency_keys (caller, method, key, request_hash) VALUES (:caller, :method, :key, :hash)
    ON CONFLICT DO NOTHING RETURNING 1
""")
_STORED = text(
    "SELECT request_hash, reply FROM idempotency_keys WHERE caller = :caller AND method = :method AND key = :key"
)
_STORE = text("UPDATE idempotency_keys SET reply = :reply WHERE caller = :caller AND method = :method AND key = :key")

Reply = TypeVar("Reply", bound=Message)


async def once(
    database: Database,
    request: Message,
    reply_type: type[Reply],
    work: Callable[[Transaction], Awaitable[Reply]],
) -> Reply:
    """Runs `work` in a transaction of its own, once per caller, method and request id.

    Without a request id it simply runs. Raises RequestIdReused when the id came before with another request. When
    `work` raises, nothing is kept and the id is free again.
    """
    call = context.current()
    if call is None or not call.idempotency_key:
        async with database.transaction() as tx:
            return await work(tx)
    name = {
        "caller": call.caller.id if call.caller else "",
        "method": call.method,
        "key": call.idempotency_key,
    }
    fingerprint = _fingerprint(request)
    async with database.transaction() as tx:
        claimed = (await tx.execute(_CLAIM, {**name, "hash": fingerprint})).scalar()
        if not claimed:
            stored = (await tx.execute(_STORED, name)).one()
            if bytes(stored.request_hash) != fingerprint:
                raise RequestIdReused
            return reply_type.FromString(bytes(stored.reply))
        reply = await work(tx)
        await tx.execute(_STORE, {**name, "reply": reply.SerializeToString()})
        return reply


def _fingerprint(request: Message) -> bytes:
    """A hash of the request without its id, which may also stand in the metadata."""
    bare = type(request)()
    bare.CopyFrom(request)
    if "request_id" in bare.DESCRIPTOR.fields_by_name:
        bare.ClearField("request_id")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()
