"""Copies of one command that are in hand at the same instant: it is carried out once."""

import asyncio
from typing import cast

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import TextClause, text

from petpro.payment.v1 import commands_pb2 as payment
from petpro.saga.v1 import saga_pb2
from petpro_common.db import Database, Transaction
from petpro_common.messaging import inbox
from petpro_common.messaging.participant import Answer, Pending, Refused, answer, command_consumer
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually

SUBJECT = "petpro.commands.payment.reserve_refund"
WAITS = text("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'")
WAITS_FOR_A_ROW = text("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
TRY_THE_FIRST = text("SELECT pg_try_advisory_xact_lock(hashtextextended('refund-1', 1))")
REPLIES = text("SELECT message_id FROM outbox")
CLAIM = text("INSERT INTO inbox (message_id) VALUES (:message_id)")
STORED = text("SELECT reply FROM inbox WHERE message_id = 'refund-1'")


def command() -> bytes:
    asked = saga_pb2.Command(command_id="refund-1", saga_id="rex", reply_to="petpro.replies.refund", attempt=1)
    asked.payload.Pack(payment.ReserveRefund(refund_id="rex"))
    return asked.SerializeToString()


async def rows(database: Database, statement: TextClause) -> list[tuple[object, ...]]:
    async with database.reading() as tx:
        return [tuple(row) for row in await tx.execute(statement)]


async def test_a_copy_waits_and_is_given_the_stored_reply(database_of: MakeDatabase, broker_of: MakeBroker) -> None:
    database, broker = await database_of("payment"), await broker_of("payment")
    carried_out: list[str] = []
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def reserve(_: Transaction, command_id: str, __: object) -> Answer:
        carried_out.append(command_id)
        begun.set()
        await goes_on.wait()
        return Refused("NO_FEE")

    async def handle() -> None:
        await command_consumer(database, broker, {payment.ReserveRefund: reserve}).redrive(SUBJECT, {}, command())

    async def a_copy_waits() -> bool:
        return bool(await rows(database, WAITS))

    first = asyncio.create_task(handle())
    await begun.wait()
    copy = asyncio.create_task(handle())
    await eventually(a_copy_waits)
    goes_on.set()
    await asyncio.gather(first, copy)
    assert carried_out == ["refund-1"]
    assert await rows(database, REPLIES) == [("refund-1.1.OUTCOME_REFUSED",)]


async def test_of_several_commands_the_locks_are_taken_in_the_order_of_their_ids(database_of: MakeDatabase) -> None:
    """Or two batches with the same commands would wait for each other."""
    database = await database_of("payment")

    async def take_both() -> None:
        async with database.transaction() as tx:
            await inbox.unknown(tx, ["refund-2", "refund-1"])

    async def it_waits() -> bool:
        return bool(await rows(database, WAITS))

    async with database.transaction() as tx:
        await inbox.unknown(tx, ["refund-2"])
        waiting = asyncio.create_task(take_both())
        await eventually(it_waits)
        assert not (await tx.execute(TRY_THE_FIRST)).scalar_one()
    await waiting


async def test_of_two_definite_answers_at_once_the_second_waits_and_changes_nothing(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    database, broker = await database_of("payment"), await broker_of("payment")

    async def reserve(_: Transaction, __: str, ___: object) -> Answer:
        return Pending()

    async def answer_too() -> None:
        async with database.transaction() as tx:
            answer(tx, "refund-1", Refused("SECOND"))

    async def it_waits() -> bool:
        return bool(await rows(database, WAITS_FOR_A_ROW))

    await command_consumer(database, broker, {payment.ReserveRefund: reserve}).redrive(SUBJECT, {}, command())
    async with database.transaction() as tx:
        answer(tx, "refund-1", Refused("FIRST"))
        await tx.flush()
        late = asyncio.create_task(answer_too())
        await eventually(it_waits)
    await late
    [(stored,)] = await rows(database, STORED)
    assert saga_pb2.Reply.FromString(bytes(cast(bytes, stored))).reason == "FIRST"
    assert await rows(database, REPLIES) == [("refund-1.1.OUTCOME_REFUSED",)]


async def test_what_somebody_stored_meanwhile_is_not_carried_out_again(
    database_of: MakeDatabase, broker_of: MakeBroker
) -> None:
    """Of an older release, which claims a command by a row of the inbox."""
    database, broker = await database_of("payment"), await broker_of("payment")

    async def reserve(_: Transaction, command_id: str, __: object) -> Answer:
        async with database.transaction() as tx:
            tx.write(CLAIM, {"message_id": command_id})
        return Refused("NO_FEE")

    with pytest.raises(UniqueViolation):
        await command_consumer(database, broker, {payment.ReserveRefund: reserve}).redrive(SUBJECT, {}, command())
    assert await rows(database, REPLIES) == []
    assert await rows(database, STORED) == [(None,)]
