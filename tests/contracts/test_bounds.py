"""Nothing in a request is without an end: each list, map, text and run of bytes in a contract of ours says how long."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from buf.validate import validate_pb2
from buf.validate.validate_pb2 import FieldRules, StringRules
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from devstack.layout import ROOT
from petpro_common import field_rules

pytestmark = pytest.mark.unit

API = ROOT / "libs" / "api"
CONTRACTS = [
    import_module(".".join(file.relative_to(API).with_suffix("").parts))
    for file in sorted(API.glob("petpro/*/v1/*_pb2.py"))
]
REQUESTS = [
    method.input_type
    for contract in CONTRACTS
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
GROWS_WITHOUT_END = re.compile(r"[*+]|\{\d*,\}")


def fields_in(kind: Descriptor, known: set[str]) -> Iterator[FieldDescriptor]:
    """All fields of a message and of what it holds, but for messages that others have defined."""
    if kind.full_name in known or not kind.full_name.startswith("petpro."):
        return
    known.add(kind.full_name)
    for field in kind.fields:
        yield field
        if field.message_type is not None:
            yield from fields_in(field.message_type, known)


def keys_of_map(field: FieldDescriptor) -> FieldDescriptor | None:
    entry: Any = field.message_type
    return entry.fields_by_name["key"] if entry is not None and entry.GetOptions().map_entry else None


def has_an_end(rules: StringRules) -> bool:
    """By its length, or as every text of its pattern has one."""
    anchored = rules.pattern.startswith("^") and rules.pattern.endswith("$")
    return bool(rules.max_len or rules.uuid or (anchored and not GROWS_WITHOUT_END.search(rules.pattern)))


def is_bounded(field: FieldDescriptor) -> bool:
    within: Any = field.containing_type
    if within.GetOptions().map_entry:  # its map says it
        return True
    rules: FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    is_text = field.type == FieldDescriptor.TYPE_STRING
    keys = keys_of_map(field)
    if keys:
        return bool(rules.map.max_pairs) and (keys.type != keys.TYPE_STRING or has_an_end(rules.map.keys.string))
    if field.is_repeated:
        return bool(rules.repeated.max_items) and (not is_text or has_an_end(rules.repeated.items.string))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bool(rules.bytes.max_len)
    return not is_text or has_an_end(rules.string)


def test_all_that_a_request_holds_has_an_end() -> None:
    known: set[str] = set()
    fields = [field for request in REQUESTS for field in fields_in(request, known)]
    assert len(fields) > 200
    assert [field.full_name for field in fields if not is_bounded(field)] == []


def test_what_has_no_end_is_seen() -> None:
    """Answers need none, and have examples of it."""
    (catalog,) = [contract for contract in CONTRACTS if contract.__name__ == "petpro.catalog.v1.catalog_pb2"]
    (messages,) = [contract for contract in CONTRACTS if contract.__name__ == "petpro.messaging.v1.messages_pb2"]
    review, listed = catalog.Review.DESCRIPTOR, catalog.ListReviewsResponse.DESCRIPTOR
    parked = messages.ParkedMessage.DESCRIPTOR
    unbounded = [review.fields_by_name["comment"], listed.fields_by_name["reviews"], parked.fields_by_name["facts"]]
    assert not any(map(is_bounded, unbounded))
    assert not has_an_end(StringRules(pattern="^https://[!-~]+$"))


def test_the_edge_takes_the_bounds_of_lists_from_the_contracts() -> None:
    lists = [field for request in REQUESTS for field in fields_in(request, set()) if field.is_repeated]
    told = {field.full_name: field_rules.most_entries(field) for field in lists}
    assert told["petpro.catalog.v1.Clinic.operating_hours"] == 7
    assert told["petpro.catalog.v1.Clinic.facilities"] == 50
    assert None not in told.values()
