"""What the contracts say of a message, to hold a service against it."""

from google.api.field_behavior_pb2 import FieldBehavior, field_behavior  # type: ignore[import-untyped]
from google.protobuf.message import Message


def needed_fields(message: Message) -> list[str]:
    """The fields that whoever makes such a thing must fill, in their order."""
    fields = message.DESCRIPTOR.fields
    return [field.name for field in fields if FieldBehavior.REQUIRED in field.GetOptions().Extensions[field_behavior]]
