"""PersonalDataService: what this service holds of a person, told to them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from petpro.personal.v1 import personal_pb2, personal_pb2_grpc
from petpro_common.context import signed_in
from petpro_common.db import Database
from petpro_common.errors import Forbidden, invalid
from petpro_common.pages import BadPageToken, page_size, read_token, write_token
from petpro_common.personal import held
from petpro_common.personal.held import Held


class PersonalDataServicer(personal_pb2_grpc.PersonalDataServiceServicer):
    """See the contract. `tables` are those of the service that are about people."""

    def __init__(self, service: str, database: Database, tables: Sequence[Held]) -> None:
        self._service = service
        self._database = database
        self._tables = tables

    async def ExportPersonalData(
        self, request: personal_pb2.ExportPersonalDataRequest, context: Any
    ) -> personal_pb2.ExportPersonalDataResponse:
        user_id, size = _whose(request.user_id), page_size(request.page_size)
        if request.service != self._service:
            raise invalid("service", f"this is {self._service}")
        after = _after(request.page_token, user_id)
        async with self._database.reading() as tx:
            found = await held.page(tx, self._tables, user_id, after, size + 1)
        reply = personal_pb2.ExportPersonalDataResponse()
        for row in found[:size]:
            reply.rows.add(table=row.table).values.update(row.values)
        if len(found) > size:
            reply.next_page_token = write_token((found[size - 1].table, found[size - 1].key), user_id)
        return reply


def _whose(asked: str) -> UUID:
    """Whose data is asked for. Raises Forbidden where it is neither the caller's own nor the caller trusted."""
    caller = signed_in()
    try:
        user_id = UUID(asked) if asked else caller.user_id
    except ValueError:
        raise invalid("user_id", "must be a UUID") from None
    if not caller.is_trusted and user_id != caller.user_id:
        raise Forbidden
    return user_id


def _after(token: str, user_id: UUID) -> tuple[str, str] | None:
    key = read_token(token, user_id)
    if key is None:
        return None
    try:
        table, last = key
    except ValueError:
        raise BadPageToken from None
    return table, last
