"""How each SQL statement of the code under test is answered from the tables."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import orjson
from psycopg.errors import UniqueViolation

from libs.common.tests.simulator.tables import Changes, Tables, due
from petpro_common.messaging import data_loss, inbox, outbox, parked, relay, replies
from petpro_common.saga import store

Params: TypeAlias = Any
_JSON_COLUMNS = ("data", "to_undo", "trace")
_SINGULAR = {
    **{f"{name}s": name for name in ("id", "step", "direction", "attempt", "to_undo", "data", "version", "kind")},
    **{f"{name}s": name for name in ("message_id", "subject", "aggregate", "payload", "command_id", "command")},
    **{"statuses": "status", "begins": "step_began_at", "dues": "due_at", "details": "detail", "saga_ids": "saga_id"},
    **{
        "headers": "headers",
        "replies": "reply",
        "saga_types": "saga_type",
        "definition_versions": "definition_version",
    },
    **{"business_keys": "business_key", "traces": "trace"},
}


def _changed(row: Any, **columns: Any) -> Any:
    return SimpleNamespace(**{**vars(row), **columns})


def _read(params: Params) -> dict[str, Any]:
    return {name: orjson.loads(value) if name in _JSON_COLUMNS else value for name, value in params.items()}


def _claim_keys(_: Changes, __: Params) -> list[Any]:
    """Transactions are played one after the other."""
    return []


def _unused_keys(tx: Changes, params: Params) -> list[Any]:
    unused = [key for key in params["business_keys"] if key not in tx.tables.keys]
    return [SimpleNamespace(business_key=key, now=tx.tables.clock.now()) for key in unused]


def _add_sagas(tx: Changes, params: Params) -> list[Any]:
    for line in _lines(params):
        row = SimpleNamespace(**_read(line))
        if row.business_key in tx.tables.keys:
            raise ValueError(f"a second saga of {row.business_key}")
        tx.put(tx.tables.keys, row.business_key, row.id)
        tx.put(tx.tables.sagas, row.id, row)
    _write_lines(tx, params)
    return []


def _lock_sagas(tx: Changes, params: Params) -> list[Any]:
    return [_with_now(tx, tx.tables.sagas[key]) for key in sorted(params["ids"]) if key in tx.tables.sagas]


def _with_now(tx: Changes, row: Any) -> Any:
    return _changed(row, now=tx.tables.clock.now())


def _lock_due(tx: Changes, params: Params) -> list[Any]:
    late = [row for row in due(tx.tables) if row.due_at <= tx.tables.clock.now()]
    return [_with_now(tx, row) for row in late[: params["most"]]]


def _seconds_to_next_due(tx: Changes, _: Params) -> list[Any]:
    return [(row.due_at - tx.tables.clock.now()).total_seconds() for row in due(tx.tables)[:1]]


def _lines(params: Params, prefix: str = "") -> list[dict[str, Any]]:
    """The rows of an unnest: each column is given as a list under its plural."""
    names = [name for name in params if name.startswith(prefix) and name.removeprefix(prefix) in _SINGULAR]
    columns = [_SINGULAR[name.removeprefix(prefix)] for name in names]
    rows = zip(*(params[name] for name in names), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _save_sagas(tx: Changes, params: Params) -> list[Any]:
    for line in _lines(params):
        tx.put(tx.tables.sagas, line["id"], _changed(tx.tables.sagas[line["id"]], **_read(line)))
    _write_lines(tx, params)
    return []


def _write_lines(tx: Changes, params: Params) -> None:
    for line in _lines(params, "line_"):
        tx.put(tx.tables.timeline, tx.tables.order.next(), SimpleNamespace(**line))


def _claim(tx: Changes, params: Params) -> list[Any]:
    new = [message_id for message_id in sorted(params["message_ids"]) if message_id not in tx.tables.inbox]
    for message_id in new:
        tx.put(tx.tables.inbox, message_id, SimpleNamespace(message_id=message_id, command=None, reply=None))
    return new


def _nothing(_: Changes, __: Params) -> list[Any]:
    return []


def _unknown_commands(tx: Changes, params: Params) -> list[Any]:
    return [id_ for id_ in params["ids"] if id_ not in tx.tables.inbox]


def _store_replies(tx: Changes, params: Params) -> list[Any]:
    if known := tx.tables.inbox.keys() & set(params["command_ids"]):
        raise UniqueViolation(", ".join(known))
    return _change_replies(tx, params)


def _change_replies(tx: Changes, params: Params) -> list[Any]:
    for line in _lines(params):
        row = SimpleNamespace(message_id=line["command_id"], command=line["command"], reply=line["reply"])
        tx.put(tx.tables.inbox, row.message_id, row)
    return []


def _commands(tx: Changes, params: Params) -> list[Any]:
    return [tx.tables.inbox[key] for key in params["command_ids"] if key in tx.tables.inbox]


def _add_messages(tx: Changes, params: Params) -> list[Any]:
    waiting, added = tx.tables.unpublished(), []
    for line in _lines(params):
        if line["message_id"] not in tx.tables.message_ids:
            number = tx.tables.order.next()
            columns = {**line, "headers": orjson.loads(line["headers"])}
            row = SimpleNamespace(id=number, published_at=None, stream=None, stream_seq=None, **columns)
            tx.put(tx.tables.message_ids, line["message_id"], number)
            tx.put(tx.tables.outbox, number, row)
            before = [other.id for other in waiting if other.aggregate == row.aggregate]
            added.append(SimpleNamespace(id=number, message_id=row.message_id, before=before[: params["most"]]))
    return added


def _unpublished(tx: Changes, params: Params) -> list[Any]:
    return tx.tables.unpublished()[: params["batch"]]


def _unpublished_of_each_stream(tx: Changes, params: Params) -> list[Any]:
    waiting = tx.tables.unpublished()
    of_each = ([row for row in waiting if row.subject.startswith(prefix)] for prefix in params["prefixes"])
    return [row for rows in of_each for row in rows[: params["batch"]]]


def _mark(tx: Changes, params: Params) -> list[Any]:
    for number, stream, seq in zip(params["ids"], params["streams"], params["seqs"], strict=True):
        row = tx.tables.outbox[number]
        tx.tables.outbox[number] = _changed(row, published_at=tx.tables.clock.now(), stream=stream, stream_seq=seq)
    return []


def _published_on(tables: Tables, stream: str) -> list[Any]:
    rows = [row for row in tables.outbox.values() if row.stream == stream and row.published_at is not None]
    return sorted(rows, key=lambda row: row.stream_seq, reverse=True)


def _newest_acknowledged(tx: Changes, params: Params) -> list[Any]:
    return _published_on(tx.tables, params["stream"])[:1]


def _gone_too_early(tx: Changes, params: Params) -> list[Any]:
    """Messages in a schedule never grow too old."""
    gone = range(params["seen_first"], params["first_seq"])
    return [row for row in _published_on(tx.tables, params["stream"]) if row.stream_seq in gone]


def _seen(tx: Changes, params: Params) -> list[Any]:
    row = tx.tables.broker_memory.get(params["stream"])
    return [row] if row else []


def _keep(tx: Changes, params: Params) -> list[Any]:
    tx.put(tx.tables.broker_memory, params["stream"], SimpleNamespace(**params))
    return []


def _unmark(tx: Changes, params: Params) -> list[Any]:
    rows = _published_on(tx.tables, params["stream"])
    for row in rows:
        tx.tables.outbox[row.id] = _changed(row, published_at=None, stream_seq=None)
    return rows


def _park(tx: Changes, params: Params) -> list[Any]:
    tx.put(tx.tables.parked, params["message_id"], params)
    return []


def _lead(_: Changes, __: Params) -> list[Any]:
    return [True]


def _tell(_: Changes, __: Params) -> list[Any]:
    """Nobody else hears it."""
    return []


STATEMENTS: dict[int, Callable[[Changes, Params], list[Any]]] = {
    id(store._CLAIM): _claim_keys,
    id(store._UNUSED): _unused_keys,
    id(store._ADD): _add_sagas,
    id(store._LOCK): _lock_sagas,
    id(store._LOCK_DUE): _lock_due,
    id(store._NEXT_DUE): _seconds_to_next_due,
    id(store._SAVE): _save_sagas,
    id(inbox._CLAIM): _claim,
    id(inbox._LOCK): _nothing,
    id(inbox._UNKNOWN): _unknown_commands,
    id(replies._STORE): _store_replies,
    id(replies._CHANGE): _change_replies,
    id(replies._KNOWN): _commands,
    id(replies._LOCKED): _commands,
    id(outbox._ADD): _add_messages,
    id(parked._PARK): _park,
    id(parked._STAYS_DISCARDED): _nothing,
    id(relay._LEAD): _lead,
    id(relay._TELL): _tell,
    id(relay._UNPUBLISHED): _unpublished,
    id(relay._OF_EACH_STREAM): _unpublished_of_each_stream,
    id(relay._MARK): _mark,
    id(data_loss._NEWEST): _newest_acknowledged,
    id(data_loss._GONE_TOO_EARLY): _gone_too_early,
    id(data_loss._SEEN): _seen,
    id(data_loss._KEEP): _keep,
    id(data_loss._UNMARK): _unmark,
}
