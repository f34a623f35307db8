"""Reads chosen fields of a request into column values, and tells of everything that is wrong at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from petpro_common.errors import FieldViolation, InvalidRequest

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
