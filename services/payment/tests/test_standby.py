"""Commits that wait for a lost standby: whoever only looks at money is answered all the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from petpro.payment.v1.ledger_pb2 import STATEMENT_FORMAT_CSV, ListSettlementsRequest
from petpro.payment.v1.reconciliation_pb2 import MOVEMENT_KIND_CAPTURE, MOVEMENT_KIND_REFUND
from petpro_common.context import Role
from petpro_common.pool import CommitsWait, Pool
from petpro_payment import settlements, waiting
from services.payment.tests.desk import open_desk
from services.payment.tests.world import Sale, World


async def test_who_only_looks_is_answered_while_commits_wait(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlements, "IN_FLIGHT", timedelta(0))
    sale = await world.paid(Sale())
    async with open_desk(world, tmp_path) as desk:
        [made] = await desk.settle()
        monkeypatch.setattr(Pool, "committing", 10)  # all that the pool may have
        with pytest.raises(CommitsWait):
            await world.rows("SELECT 1")

        await waiting.count(world.database)
        assert [await desk.settle(dry_run=True), await desk.waiting(), await desk.quarantined()] == [[], [], []]
        assert (await desk.statement(made.id, STATEMENT_FORMAT_CSV)).content
        assert len(await desk.journal()) == 3
        request = ListSettlementsRequest(clinic_id=str(sale.clinic_id))
        listed = await desk.books.ListSettlements(request, metadata=desk.as_(desk.admin, Role.ADMIN))
        assert [each.id for each in listed.settlements] == [made.id]
        now = datetime.now(UTC)
        asked = {"provider": "played", "since": now - timedelta(minutes=5), "until": now + timedelta(seconds=1)}
        assert len((await desk.movements(kind=MOVEMENT_KIND_CAPTURE, **asked)).movements) == 1
        assert not (await desk.movements(kind=MOVEMENT_KIND_REFUND, **asked)).movements
