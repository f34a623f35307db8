"""PersonalDataService: what this service holds of a person, told to them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from petpro.personal.v1 import personal_pb2, personal_pb2_grpc
from petpro_common.context import signed_in
from petpro_common.db import Database
from petpro_common.errors import Forbidden, invalid
from petpro_common.ids import optional_id
from petpro_common.pages import cut, page_size, read_key
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
        after = read_key(request.page_token, (str, str), user_id)
        async with self._database.reading() as tx:
            found = await held.page(tx, self._tables, user_id, after, size + 1)
        shown, token = cut(found, size, lambda row: (row.table, row.key), user_id)
        reply = personal_pb2.ExportPersonalDataResponse(next_page_token=token)
        for row in shown:
            reply.rows.add(table=row.table).values.update(row.values)
        return reply


def _whose(asked: str) -> UUID:
    """Whose data is asked for. Raises Forbidden where it is neither the caller's own nor the caller trusted."""
    caller = signed_in()
    user_id = optional_id("user_id", asked) or caller.user_id
    if not caller.is_trusted and user_id != caller.user_id:
        raise Forbidden
    return user_id
