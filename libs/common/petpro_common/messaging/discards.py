"""Giving up parked messages that nobody can handle.

    parked --discard--> gone; kept as `discarded`, or as `handled` when its effects had been there already

- A discard and what keeps it (who, why, of which message; nothing that it held) commit together, by the row's lock.
- What was discarded never takes effect here, nor is it parked again, when the broker delivers it again or the relay
  publishes it again: its id is claimed in the inbox. So a copy of an event or a reply is a duplicate, and one of a
  command is passed over (`participant`). A copy that cannot even be read is known by `parked.park`.
- It is the message that is given up, and not what a saga wants: one that waits asks again by a message with another id,
  which is handled as any other.
- What came without an id of its own, so from no outbox, is nobody's copy and claims nothing.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from sqlalchemy import text

from petpro.saga.v1 import saga_pb2
from petpro_common.db import Row, Transaction
from petpro_common.messaging import inbox
from petpro_common.messaging.subjects import COMMANDS, ID_HEADER, STREAMS

DISCARDED, HANDLED = "discarded", "handled"

# A release before this one may have parked again what was discarded, and claimed then.
_DISCARDED_BEFORE = text("""
    SELECT message_id FROM message_redrives
    WHERE message_id = ANY(CAST(:message_ids AS text[])) AND outcome = 'discarded'
""")
_DISCARD = text("""
    WITH given AS (
        SELECT id, outcome FROM unnest(CAST(:ids AS bigint[]), CAST(:outcomes AS text[])) AS given(id, outcome)
    ), gone AS (
        DELETE FROM parked_messages USING given WHERE parked_messages.id = given.id
        RETURNING message_id, subject, error, outcome
    )
    INSERT INTO message_redrives (message_id, subject, error_before, operator, reason, outcome, ended_at)
    SELECT message_id, subject, error, :operator, :reason, outcome, clock_timestamp() FROM gone
""")


async def discard(tx: Transaction, held: Sequence[Row], operator: str, reason: str) -> dict[int, str]:
    """Gives up messages that this transaction holds: DISCARDED or HANDLED, by their numbers.

    Whoever handles a copy of one at this moment is waited for.
    """
    before = set((await tx.execute(_DISCARDED_BEFORE, {"message_ids": [row.message_id for row in held]})).scalars())
    new = [row for row in held if row.message_id not in before]
    published = [row for row in new if row.headers.get(ID_HEADER) == row.message_id]
    commands = [row for row in published if _is_command(row)]
    others = [row for row in published if not _is_command(row)]
    handled = await _claim(tx, others) | await _claim_commands(tx, commands)
    outcomes = {row.id: HANDLED if row.id in handled else DISCARDED for row in held}
    given = {"ids": list(outcomes), "outcomes": list(outcomes.values())}
    tx.write(_DISCARD, {**given, "operator": operator, "reason": reason})
    return outcomes


async def _claim(tx: Transaction, rows: Sequence[Row]) -> set[int]:
    """Claims the ids of messages; the numbers of those that had been claimed, so took effect."""
    new = await inbox.claim(tx, [row.message_id for row in rows]) if rows else set()
    return {row.id for row in rows if row.message_id not in new}


async def _claim_commands(tx: Transaction, rows: Sequence[Row]) -> set[int]:
    """Claims the ids of messages with commands; the numbers of those whose commands had all been carried out.

    These stay unclaimed: a copy gets the stored reply.
    """
    ids = {row.id: _command_ids(bytes(row.payload)) for row in rows}
    unknown = await inbox.unknown(tx, set().union(*ids.values())) if rows else set()
    handled = {number for number, of_message in ids.items() if of_message and not of_message & unknown}
    await _claim(tx, [row for row in rows if row.id not in handled])
    return handled


def _is_command(row: Row) -> bool:
    return str(row.subject).startswith(STREAMS[COMMANDS].removesuffix(">"))


def _command_ids(payload: bytes) -> set[str]:
    """Those of the commands in a message; none when it cannot be read."""
    try:
        command = saga_pb2.Command.FromString(payload)
    except DecodeError:
        return set()
    return {each.command_id for each in (command, *command.next)} - {""}
