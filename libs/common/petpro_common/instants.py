"""Instants as they travel in messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(instant: datetime) -> Timestamp:
    """An aware instant as protobuf has it, exact to the microsecond."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message
