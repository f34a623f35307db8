"""What a clinic may say of who works for it."""

from typing import Any

import pytest
from grpc import aio

from petpro.catalog.v1 import catalog_pb2 as pb
from services.catalog.tests.people import Catalog, broken_fields

BROKEN_STAFF: list[tuple[dict[str, Any], str]] = [
    ({"name": "\u3164"}, "staff.name"),
    ({"role": "vet\u2067"}, "staff.role"),
    ({"name": ""}, "staff.name"),
    ({"role": ""}, "staff.role"),
    ({"email": "putu@"}, "staff.email"),
    ({"user_id": "putu"}, "staff.user_id"),
    ({"photo_url": "file:///etc/passwd"}, "staff.photo_url"),
    ({"working_hours": {"monday": pb.DayHours(is_open=True)}}, "staff.working_hours.monday"),
]


async def test_staff_that_breaks_a_rule_is_refused_and_the_field_is_named(catalog: Catalog) -> None:
    clinic = await catalog.approved()
    for fields, field in BROKEN_STAFF:
        with pytest.raises(aio.AioRpcError) as refused:
            await catalog.employed(clinic, **fields)
        assert broken_fields(refused.value) == {field}, fields
