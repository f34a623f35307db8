"""Parked messages that are given up: gone, and kept is who did it and why, without what they held."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.tests.messaging.desk import (
    CLINIC,
    DISCARDED,
    FAILED,
    FORESEEN,
    HANDLED,
    NOTHING_LEFT,
    SARI,
    SECRET,
    SUBJECT,
    Desk,
    discard,
    opened,
    redrive,
    refusal,
    shown,
)
from petpro_common.messaging import consumer
from petpro_common.testing import KeyRing
from petpro_common.testing.running import MakeDatabase


@pytest.fixture
async def desk(database_of: MakeDatabase, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(await database_of("booking"), KeyRing(tmp_path)) as made:
        yield made


async def test_a_message_is_gone_and_who_and_why_is_kept_without_what_it_held(desk: Desk) -> None:
    stub, number = await desk.served(), await desk.park(1, note=SECRET)
    assert await discard(desk, stub, id=number, dry_run=True) == [(number, FORESEEN)]
    assert await desk.rows("SELECT 1 FROM message_redrives UNION ALL SELECT 1 FROM inbox") == []

    assert await discard(desk, stub, id=number, request_id="once") == [(number, DISCARDED)]
    kept = await desk.rows(
        "SELECT message_id, subject, operator, reason, outcome, error_before, error FROM message_redrives"
    )
    assert kept == [("clinic 1", SUBJECT, str(SARI), "nobody can read it", "discarded", "KennelFull", "")]
    assert await desk.rows(NOTHING_LEFT) == []
    for table in ("message_redrives", "inbox"):
        for (row,) in await desk.rows(f"SELECT CAST({table} AS text) FROM {table}"):  # noqa: S608
            assert SECRET not in row
            assert str(CLINIC) not in row
    ((reply,),) = await desk.rows("SELECT reply FROM idempotency_keys")
    assert SECRET.encode() not in bytes(reply)
    assert str(CLINIC).encode() not in bytes(reply)
    assert await refusal(shown(desk, stub, number)) == "PARKED_MESSAGE_NOT_FOUND"
    assert await refusal(discard(desk, stub, id=number)) == "PARKED_MESSAGE_NOT_FOUND"


async def test_the_same_request_is_answered_again_and_discards_nothing_else(desk: Desk) -> None:
    stub, number = await desk.served(), await desk.park(1)
    first = await discard(desk, stub, error="kennelfull", request_id="tidy up")
    await desk.park(2)
    assert await discard(desk, stub, error="kennelfull", request_id="tidy up") == first == [(number, DISCARDED)]
    assert await refusal(discard(desk, stub, error="kennel", request_id="tidy up")) == "REQUEST_ID_REUSED"
    assert await desk.rows("SELECT message_id FROM parked_messages") == [("clinic 2",)]


async def test_several_need_a_filter_and_those_that_it_leaves_out_stay(desk: Desk) -> None:
    stub = await desk.served()
    numbers = [await desk.park(version) for version in range(3)]
    other = await desk.park(9, subject="petpro.replies.checkout")
    assert await refusal(discard(desk, stub)) == "INVALID_REQUEST"
    assert await refusal(discard(desk, stub, min_age_seconds=1)) == "INVALID_REQUEST"
    assert await discard(desk, stub, subject="petpro.events.", limit=2) == [(each, DISCARDED) for each in numbers[:2]]
    assert await desk.rows("SELECT id FROM parked_messages ORDER BY id") == [(numbers[2],), (other,)]


async def test_what_had_taken_effect_is_kept_as_handled(desk: Desk) -> None:
    listening = desk.consumer()
    stub, number = await desk.served(listening), await desk.park(1)
    ((headers, payload),) = await desk.rows("SELECT headers, payload FROM parked_messages")
    await listening.redrive(SUBJECT, headers, bytes(payload))
    assert await discard(desk, stub, id=number) == [(number, HANDLED)]
    assert await desk.rows("SELECT outcome FROM message_redrives") == [("handled",)]
    assert await desk.rows("SELECT 1 FROM parked_messages") == []


async def test_what_an_older_replica_has_parked_again_is_discarded_again(desk: Desk) -> None:
    stub, number = await desk.served(), await desk.park(1)
    assert await discard(desk, stub, id=number) == [(number, DISCARDED)]
    again = await desk.park(1)
    assert await discard(desk, stub, id=again) == [(again, DISCARDED)]
    assert await desk.rows(NOTHING_LEFT) == []


async def test_a_redrive_that_failed_leaves_a_message_that_can_be_discarded(desk: Desk) -> None:
    desk.fault = consumer.Unprocessable("not one of ours")
    stub, number = await desk.served(desk.consumer()), await desk.park(1)
    assert await redrive(desk, stub, id=number) == [(number, FAILED)]
    assert await discard(desk, stub, id=number) == [(number, DISCARDED)]
    kept = await desk.rows("SELECT outcome, error_before FROM message_redrives ORDER BY id")
    assert kept == [("failed", "KennelFull"), ("discarded", "Unprocessable: not one of ours")]
