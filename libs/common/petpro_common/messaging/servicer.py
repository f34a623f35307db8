"""ParkedMessageService: messages that this service set aside, having them handled again, and giving them up.

For administrators. Redrives go one after the other: each takes two connections while it lasts.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Any, TypeAlias

import structlog

from petpro.messaging.v1 import messages_pb2, messages_pb2_grpc
from petpro_common.context import administrator
from petpro_common.db import Database, Row, Transaction
from petpro_common.errors import invalid
from petpro_common.faults import told
from petpro_common.idempotency import once
from petpro_common.instants import timestamp
from petpro_common.messaging import discards, parked
from petpro_common.messaging.consumer import Consumer
from petpro_common.messaging.parked import ParkedMessageInHand, ParkedMessageNotFound
from petpro_common.pages import cut, page_size, read_key

_OUTCOMES = {
    "begun": messages_pb2.REDRIVE_OUTCOME_BEGUN,
    "handled": messages_pb2.REDRIVE_OUTCOME_HANDLED,
    "failed": messages_pb2.REDRIVE_OUTCOME_FAILED,
    "discarded": messages_pb2.REDRIVE_OUTCOME_DISCARDED,
}
_ELSEWHERE = (ParkedMessageInHand, ParkedMessageNotFound)
_NOBODY = "No consumer of this service takes this subject"

_log = structlog.get_logger()


class ParkedMessageServicer(messages_pb2_grpc.ParkedMessageServiceServicer):
    """See the contract. `consumers` are those of the service; more may join later."""

    def __init__(self, service: str, database: Database, consumers: Sequence[Consumer]) -> None:
        self._service = service
        self._database = database
        self._consumers = consumers
        self._turn = asyncio.Lock()

    async def ListParkedMessages(
        self, request: messages_pb2.ListParkedMessagesRequest, context: Any
    ) -> messages_pb2.ListParkedMessagesResponse:
        administrator()
        self._check(request.service)
        size = page_size(request.page_size)
        filters = _filters(request)
        key = astuple(filters)
        (after,) = read_key(request.page_token, (int,), *key) or (0,)
        async with self._database.reading() as tx:
            rows = await parked.page(tx, filters, after, size + 1)
        shown, next_token = cut(rows, size, lambda row: (row.id,), *key)
        return messages_pb2.ListParkedMessagesResponse(messages=map(_message, shown), next_page_token=next_token)

    async def GetParkedMessage(
        self, request: messages_pb2.GetParkedMessageRequest, context: Any
    ) -> messages_pb2.GetParkedMessageResponse:
        administrator()
        self._check(request.service)
        async with self._database.reading() as tx:
            row = await parked.one(tx, request.id)
            redrives = await parked.redrives(tx, row.message_id)
        message = _message(row)
        message.redrives.extend(map(_redrive, redrives))
        return messages_pb2.GetParkedMessageResponse(message=message)

    async def RedriveParkedMessages(
        self, request: messages_pb2.RedriveParkedMessagesRequest, context: Any
    ) -> messages_pb2.RedriveParkedMessagesResponse:
        operator = administrator().id
        self._check(request.service)
        async with self._database.reading() as tx:
            rows = await _asked_for(tx, request)
        if request.dry_run:
            foreseen = [_result(row, messages_pb2.REDRIVE_OUTCOME_FORESEEN) for row in rows]
            return messages_pb2.RedriveParkedMessagesResponse(results=foreseen)
        results = []
        for row in rows:
            with suppress(*(() if request.id else _ELSEWHERE)):
                results.append(await self._redrive(row.id, operator, request.reason))
        return messages_pb2.RedriveParkedMessagesResponse(results=results)

    async def DiscardParkedMessages(
        self, request: messages_pb2.DiscardParkedMessagesRequest, context: Any
    ) -> messages_pb2.DiscardParkedMessagesResponse:
        operator = administrator().id
        self._check(request.service)
        if not (request.id or request.subject or request.error):
            raise invalid("id", "name one message, or a subject or words of an error")

        async def work(tx: Transaction) -> messages_pb2.DiscardParkedMessagesResponse:
            held = await _held(tx, request)
            outcomes = await discards.discard(tx, held, operator, request.reason)
            tx.after_commit(lambda: _log_discards(held, outcomes))
            results = [_discarded(row, _OUTCOMES[outcomes[row.id]]) for row in held]
            return messages_pb2.DiscardParkedMessagesResponse(results=results)

        if request.dry_run:  # a request id is kept for what changes something
            async with self._database.reading() as tx:
                rows = await _asked_for(tx, request)
            foreseen = [_discarded(row, messages_pb2.REDRIVE_OUTCOME_FORESEEN) for row in rows]
            return messages_pb2.DiscardParkedMessagesResponse(results=foreseen)
        return await once(self._database, request, messages_pb2.DiscardParkedMessagesResponse, work)

    def _check(self, service: str) -> None:
        if service != self._service:
            raise invalid("service", f"this is {self._service}")

    async def _redrive(self, number: int, operator: str, reason: str) -> messages_pb2.RedriveResult:
        """Handles one message again, which nobody else redrives or discards meanwhile.

        Raises ParkedMessageNotFound and ParkedMessageInHand.
        """
        async with self._turn, self._database.transaction() as holding:
            row = await parked.hold_one(holding, number)
            async with self._database.transaction() as tx:
                redrive_id = await parked.begin(tx, number, operator, reason)
            error = await self._handle(row)
            parked.end(holding, number, redrive_id, error)
        outcome = messages_pb2.REDRIVE_OUTCOME_FAILED if error else messages_pb2.REDRIVE_OUTCOME_HANDLED
        result = _result(row, outcome)
        result.message.error = error or row.error
        result.message.redrive_count += 1
        return result

    async def _handle(self, row: Row) -> str:
        """Has the consumer of its stream handle a message; what went wrong, or nothing."""
        consumer = next((each for each in self._consumers if each.takes(row.subject)), None)
        if consumer is None:
            return _NOBODY
        try:
            await consumer.redrive(row.subject, row.headers, bytes(row.payload))
        except Exception as fault:  # noqa: BLE001  # it stays parked, and the operator reads why
            cause = told(fault)
            _log.warning("redrive failed", subject=row.subject, message_id=row.message_id, cause=cause)
            return cause
        _log.info("redriven", subject=row.subject, message_id=row.message_id)
        return ""


_Act: TypeAlias = messages_pb2.RedriveParkedMessagesRequest | messages_pb2.DiscardParkedMessagesRequest


async def _asked_for(tx: Transaction, request: _Act) -> list[Row]:
    """The message that is named, or those that the filters find. Raises ParkedMessageNotFound."""
    if request.id:
        return [await parked.one(tx, request.id)]
    return await parked.page(tx, _filters(request), 0, page_size(request.limit))


async def _held(tx: Transaction, request: _Act) -> list[Row]:
    """The same, locked; of what the filters find without that which somebody else holds. Raises ParkedMessageInHand."""
    if request.id:
        return [await parked.hold_one(tx, request.id)]
    return await parked.hold(tx, [row.id for row in await _asked_for(tx, request)])


def _filters(request: messages_pb2.ListParkedMessagesRequest | _Act) -> parked.Filters:
    return parked.Filters(request.subject, request.error, request.min_age_seconds)


def _message(row: Row) -> messages_pb2.ParkedMessage:
    payload = bytes(row.payload)
    return messages_pb2.ParkedMessage(
        id=row.id,
        message_id=row.message_id,
        subject=row.subject,
        facts=parked.facts(row.subject, row.headers, payload),
        payload_bytes=len(payload),
        error=row.error,
        tries=row.tries,
        parked_at=timestamp(row.parked_at),
        redrive_count=row.redrive_count,
    )


def _redrive(row: Row) -> messages_pb2.Redrive:
    return messages_pb2.Redrive(
        at=timestamp(row.at),
        operator=row.operator,
        reason=row.reason,
        outcome=_OUTCOMES[row.outcome],
        error=row.error,
    )


def _result(row: Row, outcome: messages_pb2.RedriveOutcome.ValueType) -> messages_pb2.RedriveResult:
    return messages_pb2.RedriveResult(message=_message(row), outcome=outcome)


def _discarded(row: Row, outcome: messages_pb2.RedriveOutcome.ValueType) -> messages_pb2.DiscardResult:
    return messages_pb2.DiscardResult(id=row.id, message_id=row.message_id, subject=row.subject, outcome=outcome)


def _log_discards(rows: Sequence[Row], outcomes: Mapping[int, str]) -> None:
    for row in rows:
        _log.info("discarded", subject=row.subject, message_id=row.message_id, outcome=outcomes[row.id])
