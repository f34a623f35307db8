"""The contracts say of each field of what people edit whether they can: all others are only read."""

import pytest
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior  # type: ignore[import-untyped]
from google.protobuf.message import Message

from petpro.account.v1 import account_pb2
from petpro.catalog.v1 import catalog_pb2
from petpro_account import pets, users
from petpro_catalog import messages, policy

pytestmark = pytest.mark.unit

EDITED: list[tuple[type[Message], set[str]]] = [
    (account_pb2.User, {path for path in users.EDITABLE if "." not in path}),
    (account_pb2.Pet, set(pets.EDITABLE)),
    (catalog_pb2.Clinic, set(messages.CLINIC_FIELDS)),
    (catalog_pb2.Service, set(messages.SERVICE_FIELDS)),
    (catalog_pb2.Staff, set(messages.STAFF_FIELDS)),
    (catalog_pb2.CancellationPolicy, set(policy.Policy.__dataclass_fields__)),
]


@pytest.mark.parametrize(("message", "editable"), EDITED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_edited_is_only_read(message: type[Message], editable: set[str]) -> None:
    kept = {FieldBehavior.OUTPUT_ONLY, FieldBehavior.IMMUTABLE}
    fields = message.DESCRIPTOR.fields
    open_to_edits = {each.name for each in fields if not kept & set(each.GetOptions().Extensions[field_behavior])}
    assert open_to_edits == editable
