"""The example of docs/saga.md, run from end to end over a real database and broker. Payment is played."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.tests.saga import example_grooming
from libs.common.tests.saga.example_grooming import GROOMING, HANDLERS
from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.db import Database, Transaction
from petpro_common.messaging.participant import Answer, Refused, Succeeded, command_consumer
from petpro_common.messaging.relay import Relay
from petpro_common.saga import SagaEngine
from petpro_common.testing.running import MakeBroker, MakeDatabase, eventually, running

SOURCE = Path(example_grooming.__file__).read_text()
PAGE = Path(__file__).parents[4] / "docs" / "saga.md"


@dataclass
class Salon:
    """A salon with one tub, and what payment was asked for."""

    database: Database
    engine: SagaEngine
    refuses: str = ""
    asked: list[str] = field(default_factory=list)

    async def pay(self, tx: Transaction, command_id: str, command: Any) -> Answer:
        self.asked.append(command.DESCRIPTOR.name)
        return Refused("CARD_DECLINED") if command.DESCRIPTOR.name == self.refuses else Succeeded()

    async def visit(self, pet: str) -> tuple[str, str]:
        """How the saga ended, and why it turned back."""
        async with self.database.transaction() as tx:
            await self.engine.start(tx, "grooming", f"grooming:{pet}", {"visit": pet, "owner": "sari"})
        await eventually(self.all_have_ended)
        (saga,) = await self.rows("SELECT status, data ->> 'failure_reason' AS reason FROM sagas")
        return saga.status, saga.reason or ""

    async def all_have_ended(self) -> bool:
        return not await self.rows("SELECT 1 FROM sagas WHERE status NOT IN ('completed', 'compensated')")

    async def in_tub(self) -> str | None:
        (tub,) = await self.rows("SELECT visit FROM tubs")
        return str(tub.visit) if tub.visit else None

    async def rows(self, statement: str) -> Any:
        async with self.database.transaction() as tx:
            result = await tx.execute(text(statement))
            return result.all()


@pytest.fixture
async def salon(database_of: MakeDatabase, broker_of: MakeBroker) -> AsyncIterator[Salon]:
    database, paying = await database_of("booking"), await database_of("payment")
    asking, answering = await broker_of("booking"), await broker_of("payment")
    made = Salon(database, SagaEngine(database, [GROOMING], HANDLERS))
    await made.rows("CREATE TABLE tubs AS SELECT CAST(NULL AS text) AS visit, true AS is_open")
    commands = (payment.TakePayment, payment.CancelPayment, payment.PostBookingFee)
    relays = (Relay(database, asking).run(), Relay(paying, answering).run())
    payments = command_consumer(paying, answering, dict.fromkeys(commands, made.pay))
    async with running(*relays, payments.run(), made.engine.consumer(asking).run(), made.engine.run_timer()):
        yield made


async def test_a_pet_is_groomed(salon: Salon) -> None:
    assert await salon.visit("miko") == ("completed", "")
    assert salon.asked == ["TakePayment", "PostBookingFee"]
    assert await salon.in_tub() == "miko"


async def test_a_declined_deposit_frees_the_tub(salon: Salon) -> None:
    salon.refuses = "TakePayment"
    assert await salon.visit("miko") == ("compensated", "CARD_DECLINED")
    assert salon.asked == ["TakePayment"]
    assert await salon.in_tub() is None


async def test_a_visit_that_cannot_be_gives_the_deposit_back_and_frees_the_tub(salon: Salon) -> None:
    await salon.rows("UPDATE tubs SET is_open = false")
    assert await salon.visit("miko") == ("compensated", "SALON_IS_CLOSED")
    assert salon.asked == ["TakePayment", "CancelPayment"]
    assert await salon.in_tub() is None


@pytest.mark.unit
def test_a_new_saga_is_written_in_under_40_lines() -> None:
    assert len(SOURCE.splitlines()) < 40


@pytest.mark.unit
def test_the_page_shows_the_example_as_it_is() -> None:
    assert f"```python\n{SOURCE}```\n" in PAGE.read_text()
