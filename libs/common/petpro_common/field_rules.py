"""Requests held against the field rules of their contracts (buf.validate).

How long lists and maps may be is looked at first, and by itself: the validator looks at every entry of a list, also of
one that is too long, and a mebibyte of empty entries keeps it, and with it the process, busy for seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from petpro_common.errors import FieldViolation, InvalidRequest

MOST_ENTRIES = 50
"""Of lists for which no contract of ours has a rule, such as the paths of a field mask."""

_validator = protovalidate.Validator()


@dataclass
class _Lists:
    """The lists and maps that can be in a message of one type, by the names of its fields."""

    most: dict[str, int] = field(default_factory=dict)
    within: dict[str, "_Lists"] = field(default_factory=dict)
    """Fields with a message that has lists in turn."""
    within_each: dict[str, "_Lists"] = field(default_factory=dict)
    """Lists and maps of such messages."""


_known: dict[str, _Lists | None] = {}


def check(request: Message) -> None:
    """Holds the request against the field rules in its contract.

    Raises InvalidRequest with every violation; where lists are too long with these alone.
    """
    lists = _lists_of(request.DESCRIPTOR)
    found = list(_too_long(request, lists)) if lists else []
    if not found:
        violations = _validator.collect_violations(request)
        if not violations:
            return
        found = [FieldViolation(_path(v.proto), v.proto.message) for v in violations]
    raise InvalidRequest(*found)


def most_entries(repeated: FieldDescriptor) -> int | None:
    """How many entries the contract lets a list or a map have; None where it says nothing."""
    rules = repeated.GetOptions().Extensions[validate_pb2.field]
    return rules.map.max_pairs or rules.repeated.max_items or None


def _path(violation: Any) -> str:
    return ".".join(element.field_name for element in violation.field.elements)


def _too_long(message: Any, lists: _Lists, path: str = "") -> Iterator[FieldViolation]:
    for name, most in lists.most.items():
        if len(getattr(message, name)) > most:
            yield FieldViolation(f"{path}{name}", f"must contain no more than {most} item(s)")
        elif name in lists.within_each:
            entries = getattr(message, name)
            for entry in entries.values() if hasattr(entries, "values") else entries:
                yield from _too_long(entry, lists.within_each[name], f"{path}{name}.")
    for name, inner in lists.within.items():
        if message.HasField(name):
            yield from _too_long(getattr(message, name), inner, f"{path}{name}.")


def _lists_of(kind: Any) -> _Lists | None:
    """By a message's descriptor; None where a message of this type can hold no list, however deep."""
    if kind.full_name not in _known:
        lists = _known[kind.full_name] = _Lists()  # known while it is made, since a type may hold itself
        for each in kind.fields:
            _add(lists, each)
        if not (lists.most or lists.within):
            _known[kind.full_name] = None
    return _known[kind.full_name]


def _add(lists: _Lists, each: FieldDescriptor) -> None:
    held: Descriptor | None = each.message_type
    if held is not None and held.GetOptions().map_entry:
        held = held.fields_by_name["value"].message_type
    inner = _lists_of(held) if held is not None else None
    if each.is_repeated:
        lists.most[each.name] = most_entries(each) or MOST_ENTRIES
        if inner:
            lists.within_each[each.name] = inner
    elif inner:
        lists.within[each.name] = inner
