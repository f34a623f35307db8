"""A grooming visit: keep a tub, take a deposit, confirm the visit; once it stands, write the fee."""

from sqlalchemy import text

from petpro.payment.v1 import commands_pb2 as payment
from petpro_common.db import Transaction
from petpro_common.messaging.participant import Answer, Refused, Succeeded
from petpro_common.saga import Local, Remote, Saga, SagaState, Step, StepKind

TAKE = Remote("payment", lambda data: payment.TakePayment(payment_id=data["visit"], user_id=data["owner"]))
GIVE_BACK = Remote("payment", lambda data: payment.CancelPayment(payment_id=data["visit"]))
WRITE_FEE = Remote("payment", lambda data: payment.PostBookingFee(payment_id=data["visit"]))

GROOMING = Saga("grooming", 1, (
    Step("tub",     StepKind.COMPENSATABLE, Local("keep_tub"), undo=Local("free_tub")),
    Step("deposit", StepKind.COMPENSATABLE, TAKE, undo=GIVE_BACK),
    Step("confirm", StepKind.PIVOT,         Local("confirm_visit")),
    Step("fee",     StepKind.RETRIABLE,     WRITE_FEE),
))  # fmt: skip


async def keep_tub(tx: Transaction, state: SagaState) -> Answer:
    kept = await tx.execute(text("UPDATE tubs SET visit = :visit WHERE visit IS NULL RETURNING 1"), state.data)
    return Succeeded() if kept.first() else Refused("NO_TUB_IS_FREE")


async def free_tub(tx: Transaction, state: SagaState) -> Answer:
    await tx.execute(text("UPDATE tubs SET visit = NULL WHERE visit = :visit"), state.data)
    return Succeeded()


async def confirm_visit(tx: Transaction, state: SagaState) -> Answer:
    open_tub = await tx.execute(text("SELECT 1 FROM tubs WHERE visit = :visit AND is_open FOR UPDATE"), state.data)
    return Succeeded() if open_tub.first() else Refused("SALON_IS_CLOSED")


HANDLERS = {"keep_tub": keep_tub, "free_tub": free_tub, "confirm_visit": confirm_visit}
