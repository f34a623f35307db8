"""Which fields an edit is about."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from petpro_common.errors import invalid


def to_edit(edit: Message, mask: Sequence[str], editable: Iterable[str]) -> list[str]:
    """The fields that the mask names, or without a mask those that `edit` has set.

    Raises InvalidRequest when the mask names what cannot be edited, or a part of a field that is edited whole.
    """
    known = list(editable)
    if not mask:
        return [field.name for field, _ in edit.ListFields() if field.name in known]
    unknown = [path for path in mask if path not in known]
    if unknown:
        raise invalid("update_mask", f"cannot edit {', '.join(unknown)}; can edit {', '.join(known)}")
    return list(dict.fromkeys(mask))
