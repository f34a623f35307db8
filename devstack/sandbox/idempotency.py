"""The same key is the same request: done once, answered the same way for ever."""

import json
from collections.abc import Callable
from hashlib import sha256

from pydantic import BaseModel

from devstack.sandbox.errors import IdempotencyMisuse
from devstack.sandbox.objects import Answer
from devstack.sandbox.store import Transaction


def once(tx: Transaction, key: str, request: BaseModel, act: Callable[[], Answer]) -> Answer:
    """Act, and keep the answer in the same transaction; or give the answer that was kept.

    Raises `IdempotencyMisuse` when the key belongs to another request. What `act` raises is not kept.
    """
    fields = json.dumps([type(request).__name__, request.model_dump()], sort_keys=True)
    fingerprint = sha256(fields.encode()).hexdigest()
    known = tx.kept_answer(key)
    if known is None:
        answer = act()
        if answer.kept:
            tx.keep_answer(key, fingerprint, answer)
        return answer
    if known[0] != fingerprint:
        message = "This Idempotency-Key was used for a request with another body."
        raise IdempotencyMisuse("idempotency_key_reused", message)
    return known[1]
