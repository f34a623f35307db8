"""Reads chosen fields of a request into column values, and tells of everything that is wrong at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from petpro_common.errors import FieldViolation, InvalidRequest, invalid

Reader = Callable[[Any], Any]
Readers = Mapping[str, Reader]
"""By the field's path: a function of the message that gives the value or raises ValueError with what is wrong."""


def read(message: Message, readers: Readers, paths: Sequence[str], within: str = "") -> dict[str, Any]:
    """The values of `paths`. Raises InvalidRequest with one violation for each that is wrong.

    `within` is the path of `message` in the request, with its dot.
    """
    values: dict[str, Any] = {}
    violations: list[FieldViolation] = []
    for path in paths:
        try:
            values[path] = readers[path](message)
        except ValueError as fault:
            violations.append(FieldViolation(f"{within}{path}", str(fault)))
    if violations:
        raise InvalidRequest(*violations)
    return values


def to_edit(message: Message, mask: Sequence[str], readers: Readers) -> list[str]:
    """The paths that an edit is about: those of the mask, or without one all editable fields that are set.

    Raises InvalidRequest when the mask names what cannot be edited.
    """
    if not mask:
        return [field.name for field, _ in message.ListFields() if field.name in readers]
    unknown = [path for path in mask if path not in readers]
    if unknown:
        raise invalid("update_mask", f"cannot edit {', '.join(unknown)}; can edit {', '.join(readers)}")
    return list(dict.fromkeys(mask))
