"""Which fields an edit is about."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from petpro_common.errors import invalid

_NAMED, _LONGEST_PATH = 3, 40
"""Of what cannot be edited, so many paths are named, and so many characters of each."""


def to_edit(edit: Message, mask: Sequence[str], editable: Iterable[str]) -> list[str]:
    """The fields that the mask names, or without a mask those that `edit` has set.

    Raises InvalidRequest when the mask names what cannot be edited, or a part of a field that is edited whole.
    """
    known = list(editable)
    if not mask:
        return [field.name for field, _ in edit.ListFields() if field.name in known]
    unknown = [path for path in mask if path not in known]
    if unknown:
        raise invalid("update_mask", f"cannot edit {_first_of(unknown)}; can edit {', '.join(known)}")
    return list(dict.fromkeys(mask))


def _first_of(paths: Sequence[str]) -> str:
    named = ", ".join(path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..." for path in paths[:_NAMED])
    return named if len(paths) <= _NAMED else f"{named} and {len(paths) - _NAMED} more"
