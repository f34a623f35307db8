"""Every SQL statement of the saga engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from petpro_common.db import LateWrite, Row, Rows, Transaction
from petpro_common.saga.model import Direction, Happening, SagaState, Status
from petpro_common.saga.operations import Operation
from petpro_common.wire import BoundStatement

_COLUMNS = """
    id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data, version,
    step_began_at, due_at, trace, created_at, updated_at
"""
_NOW = text("SELECT clock_timestamp()")
# Once per business key: who starts a saga of it waits for whoever does so too, and finds it then. The locks are
# taken in the order of the keys, so that two that start the same do not wait for each other in a circle.
_CLAIM = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(business_key, 0))
    FROM unnest(CAST(:business_keys AS text[])) AS business_key
""")
# Each key is looked up by itself, whatever is planned while there are no sagas.
_UNUSED = text("""
    SELECT key AS business_key, clock_timestamp() AS now FROM unnest(CAST(:business_keys AS text[])) AS asked(key)
    LEFT JOIN LATERAL (SELECT id FROM sagas WHERE business_key = key OFFSET 0) used ON true WHERE used.id IS NULL
""")
# The row locks make signals of one saga wait for each other. They are taken in one order, so that two batches do not
# wait for each other in a circle.
_LOCK = text(f"""
    SELECT {_COLUMNS}, clock_timestamp() AS now FROM sagas WHERE id = ANY(:ids) ORDER BY id FOR UPDATE
""")
# SKIP LOCKED: what another replica has in hand is its own.
_LOCK_DUE = text(f"""
    SELECT {_COLUMNS}, clock_timestamp() AS now FROM sagas
    WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
""")
_LINES = """
    WITH written AS (
        INSERT INTO saga_timeline (saga_id, kind, step, direction, attempt, detail)
        SELECT saga_id, kind, step, direction, attempt, detail
        FROM unnest(CAST(:line_saga_ids AS uuid[]), CAST(:line_kinds AS text[]), CAST(:line_steps AS text[]),
                    CAST(:line_directions AS text[]), CAST(:line_attempts AS int[]), CAST(:line_details AS text[]))
             WITH ORDINALITY AS line(saga_id, kind, step, direction, attempt, detail, number)
        ORDER BY number
    )
"""
# The sagas that a transaction has started, as far as they have come by its end, and their lines.
_ADD = text(f"""{_LINES}
    INSERT INTO sagas (id, saga_type, definition_version, business_key, status, step, direction, attempt, to_undo, data,
                       version, step_began_at, due_at, trace)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:saga_types AS text[]), CAST(:definition_versions AS int[]),
        CAST(:business_keys AS text[]), CAST(:statuses AS text[]), CAST(:steps AS text[]), CAST(:directions AS text[]),
        CAST(:attempts AS int[]), CAST(:to_undos AS jsonb[]), CAST(:datas AS jsonb[]), CAST(:versions AS int[]),
        CAST(:begins AS timestamptz[]), CAST(:dues AS timestamptz[]), CAST(:traces AS jsonb[]))
""")
# The states of a transaction and their lines.
_SAVE = text(f"""{_LINES}
    UPDATE sagas SET status = new.status, step = new.step, direction = new.direction, attempt = new.attempt,
        to_undo = new.to_undo, data = new.data, version = new.version,
        step_began_at = new.step_began_at, due_at = new.due_at, updated_at = clock_timestamp()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:steps AS text[]), CAST(:directions AS text[]),
                CAST(:attempts AS int[]), CAST(:to_undos AS jsonb[]), CAST(:datas AS jsonb[]), CAST(:versions AS int[]),
                CAST(:begins AS timestamptz[]), CAST(:dues AS timestamptz[]))
         AS new(id, status, step, direction, attempt, to_undo, data, version, step_began_at, due_at)
    WHERE sagas.id = new.id AND sagas.id = ANY(CAST(:ids AS uuid[]))
""")
_POSTPONE = text("UPDATE sagas SET due_at = clock_timestamp() + make_interval(secs => :seconds) WHERE id = :id")
_NEXT_DUE = text("SELECT EXTRACT(epoch FROM min(due_at) - clock_timestamp()) FROM sagas WHERE due_at IS NOT NULL")
# Reads only what has not ended, by its partial index.
_IN_FLIGHT = text("""
    SELECT saga_type, definition_version, count(*) AS sagas FROM sagas
    WHERE status IN ('running', 'compensating', 'parked')
    GROUP BY saga_type, definition_version ORDER BY saga_type, definition_version
""")
# The same, by where they stand. One that asks again and again does not move: what counts is when its step began.
_STANDING = text("""
    SELECT saga_type, status, step, count(*) AS sagas,
        extract(epoch FROM clock_timestamp() - min(
            CASE status WHEN 'parked' THEN updated_at ELSE coalesce(step_began_at, updated_at) END)) AS oldest_seconds
    FROM sagas WHERE status IN ('running', 'compensating', 'parked') GROUP BY saga_type, status, step
""")
_PAGE = f"""
    SELECT {_COLUMNS} FROM {{sagas}} AS sagas
    WHERE (CAST(:saga_type AS text) = '' OR saga_type = :saga_type)
      AND (CAST(:status AS text) = '' OR status = :status)
      AND (CAST(:business_key AS text) = '' OR business_key = :business_key
           OR (right(:business_key, 1) = ':' AND starts_with(business_key, :business_key)))
      AND (CAST(:step AS text) = '' OR step = :step)
      AND created_at <= clock_timestamp() - make_interval(secs => CAST(:min_age_seconds AS double precision))
      AND (CAST(:after AS uuid) IS NULL OR id < :after)
    ORDER BY id DESC LIMIT :limit
"""
# With OFFSET 0 what is asked for is found by its own index; the others go back from the newest until a page is full.
_PAGE_OF_KEY = text(
    _PAGE.format(sagas="(SELECT * FROM sagas WHERE business_key BETWEEN :business_key AND :last_key OFFSET 0)")
)
_PAGE_IN_FLIGHT = text(
    _PAGE.format(sagas="(SELECT * FROM sagas WHERE status IN ('running', 'compensating', 'parked') OFFSET 0)")
)
_PAGE_OF_ALL = text(_PAGE.format(sagas="sagas"))
_IN_FLIGHT_STATUSES = {Status.RUNNING.value, Status.COMPENSATING.value, Status.PARKED.value}
_GREATEST = "\U0010ffff"
# The audit: written in the transaction of the act, and never changed.
_ADD_OPERATION = text("""
    INSERT INTO saga_operations
        (saga_id, verb, operator, reason, saga_version, status_before, step_before, status_after, step_after)
    VALUES
        (:saga_id, :verb, :operator, :reason, :saga_version, :status_before, :step_before, :status_after, :step_after)
""")
_ONE = text(f"SELECT {_COLUMNS} FROM sagas WHERE id = :id")
_TIMELINE = text("SELECT at, kind, step, direction, attempt, detail FROM saga_timeline WHERE saga_id = :id ORDER BY id")


async def now(tx: Transaction) -> datetime:
    """The database's clock: the one that all replicas share."""
    instant: datetime = (await tx.execute(_NOW)).scalar_one()
    return instant


async def claim(tx: Transaction, business_keys: Iterable[str]) -> Mapping[str, datetime]:
    """Those of the keys of which there is no saga, nor will be by another transaction; the instant by the database's
    clock."""
    await tx.flush()  # this transaction may have added some
    values = {"business_keys": sorted(business_keys)}
    tx.write(_CLAIM, values)
    return {row.business_key: row.now for row in await tx.execute(_UNUSED, values)}


async def lock(tx: Transaction, saga_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """Those of the sagas that there are, by id, locked until the transaction ends; each row has `now`."""
    await tx.flush()  # this transaction may have changed them
    return _by_id(await tx.execute(_LOCK, {"ids": list(saga_ids)}))


async def lock_with(tx: Transaction, saga_ids: Iterable[UUID], then: BoundStatement) -> tuple[dict[UUID, Row], Rows]:
    """What `lock` gives at the beginning of a transaction, and what another statement then gives, in one round trip."""
    locked, found = await tx.execute_all([(_LOCK, {"ids": list(saga_ids)}), then])
    return _by_id(locked), found


def _by_id(rows: Rows) -> dict[UUID, Row]:
    return {row.id: row for row in rows}


async def lock_due(tx: Transaction, most: int) -> list[Row]:
    """The sagas that are due longest and not in another's hand, locked; each row has `now`."""
    return list((await tx.execute(_LOCK_DUE, {"most": most})).all())


def save(tx: Transaction, state: SagaState, happenings: Sequence[Happening]) -> None:
    """Stores the state of a saga that is locked, and lines of its timeline, right before the commit."""
    tx.write_late(_WRITE, (state, happenings))


def add(tx: Transaction, state: SagaState, happenings: Sequence[Happening], trace: Mapping[str, str]) -> None:
    """Adds a saga whose key this transaction has claimed, and lines of its timeline, right before the commit."""
    tx.write_late(_INSERT, (state, happenings, trace))


def _added(fresh: list[tuple[SagaState, Sequence[Happening], Mapping[str, str]]]) -> Mapping[str, Any]:
    return {
        **_columns([(state, happenings) for state, happenings, _ in fresh]),
        "saga_types": [state.saga_type for state, _, _ in fresh],
        "definition_versions": [state.definition_version for state, _, _ in fresh],
        "business_keys": [state.business_key for state, _, _ in fresh],
        "traces": [_json(dict(trace)) for _, _, trace in fresh],
    }


def _columns(changes: list[tuple[SagaState, Sequence[Happening]]]) -> Mapping[str, Any]:
    states = list({state.id: state for state, _ in changes}.values())
    lines = [(state.id, line) for state, happenings in changes for line in happenings]
    return {
        "ids": [state.id for state in states],
        "statuses": [state.status.value for state in states],
        "steps": [state.step for state in states],
        "directions": [state.direction.value for state in states],
        "attempts": [state.attempt for state in states],
        "to_undos": [_json(state.to_undo) for state in states],
        "datas": [_json(dict(state.data)) for state in states],
        "versions": [state.version for state in states],
        "begins": [state.step_began_at for state in states],
        "dues": [state.due_at for state in states],
        "line_saga_ids": [saga_id for saga_id, _ in lines],
        "line_kinds": [line.kind for _, line in lines],
        "line_steps": [line.step for _, line in lines],
        "line_directions": [line.direction.value for _, line in lines],
        "line_attempts": [line.attempt for _, line in lines],
        "line_details": [line.detail for _, line in lines],
    }


_INSERT, _WRITE = LateWrite(_ADD, _added), LateWrite(_SAVE, _columns)


def postpone(tx: Transaction, saga_id: UUID, seconds: float) -> None:
    """Has a saga that this transaction has locked looked at again after so long."""
    tx.write(_POSTPONE, {"id": saga_id, "seconds": seconds})


async def seconds_to_next_due(tx: Transaction) -> float | None:
    """Seconds until a saga is due (negative when one is late), or None when none will be."""
    found = (await tx.execute(_NEXT_DUE)).scalar()
    return None if found is None else float(found)


async def in_flight(tx: Transaction) -> list[Row]:
    """How many sagas have not ended, by type and definition version."""
    return list((await tx.execute(_IN_FLIGHT)).all())


async def standing(tx: Transaction) -> list[Row]:
    """By type, status and step: how many sagas have not ended, and for how long the first of them has stood there."""
    return list((await tx.execute(_STANDING)).all())


@dataclass(frozen=True)
class Filters:
    """Which sagas; what is empty asks for nothing. `business_key` is whole, or a beginning that ends in a colon."""

    saga_type: str = ""
    status: str = ""
    business_key: str = ""
    step: str = ""
    min_age_seconds: int = 0


async def page(tx: Transaction, filters: Filters, after: UUID | None, limit: int) -> list[Row]:
    """Sagas, newest first, after one id."""
    values = {**asdict(filters), "after": after, "limit": limit}
    if filters.business_key:
        last_key = filters.business_key + (_GREATEST if filters.business_key.endswith(":") else "")
        found = await tx.execute(_PAGE_OF_KEY, {**values, "last_key": last_key})
    else:
        found = await tx.execute(_PAGE_IN_FLIGHT if filters.status in _IN_FLIGHT_STATUSES else _PAGE_OF_ALL, values)
    return found.all()


def add_operation(tx: Transaction, operation: Operation, before: SagaState, after: SagaState) -> None:
    """Writes an operator's act into the audit."""
    row = {
        "saga_id": before.id,
        "verb": operation.verb.value,
        "operator": operation.operator,
        "reason": operation.reason,
        "saga_version": before.version,
        "status_before": before.status.value,
        "step_before": before.step,
        "status_after": after.status.value,
        "step_after": after.step,
    }
    tx.write(_ADD_OPERATION, row)


async def one(tx: Transaction, saga_id: UUID) -> Row | None:
    """One saga, not locked."""
    return (await tx.execute(_ONE, {"id": saga_id})).first()


async def timeline(tx: Transaction, saga_id: UUID) -> list[Row]:
    """Everything that happened to one saga, in order."""
    return list((await tx.execute(_TIMELINE, {"id": saga_id})).all())


def state_of(row: Row) -> SagaState:
    """The state that a row holds."""
    return SagaState(
        id=row.id,
        saga_type=row.saga_type,
        definition_version=row.definition_version,
        business_key=row.business_key,
        data=row.data,
        status=Status(row.status),
        step=row.step,
        direction=Direction(row.direction),
        attempt=row.attempt,
        to_undo=tuple(row.to_undo),
        step_began_at=row.step_began_at,
        due_at=row.due_at,
        version=row.version,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
