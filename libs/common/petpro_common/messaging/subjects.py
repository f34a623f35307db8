"""Streams and subjects: what is sent where."""

import functools
import re
from collections.abc import Mapping

from google.protobuf.message import Message

EVENTS = "PETPRO_EVENTS"
COMMANDS = "PETPRO_COMMANDS"
REPLIES = "PETPRO_REPLIES"
ID_HEADER = "Nats-Msg-Id"
"""What a message is called by the outbox that it came from."""

STREAMS: Mapping[str, str] = {
    EVENTS: "petpro.events.>",
    COMMANDS: "petpro.commands.>",
    REPLIES: "petpro.replies.>",
}
_REPLY_SUBJECT = re.compile(r"petpro\.replies\.[a-z][a-z0-9_]*")


def event_subject(event_type: str) -> str:
    """petpro.events.<event type>, for example petpro.events.booking.confirmed."""
    return f"petpro.events.{event_type}"


def command_subject(service: str, command: Message) -> str:
    """petpro.commands.<service>.<command in snake case>, for example petpro.commands.payment.reserve_refund."""
    return f"petpro.commands.{service}.{_in_snake_case(command.DESCRIPTOR.name)}"


@functools.cache
def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def reply_subject(saga_type: str) -> str:
    """petpro.replies.<saga type>."""
    return f"petpro.replies.{saga_type}"


def is_reply_subject(subject: str) -> bool:
    """Whether it is one that `reply_subject` gives."""
    return _REPLY_SUBJECT.fullmatch(subject) is not None
