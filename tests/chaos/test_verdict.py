"""When a round counts as at rest."""

import pytest

from devstack.api import Json
from tests.chaos.verdict import LISTENERS, undelivered

pytestmark = pytest.mark.unit

BOOKING = ("PETPRO_EVENTS", "booking")


def streams(busy: tuple[str, str] | None = None, **counts: int) -> list[Json]:
    """As NATS tells of them when everything is quiet, but for one consumer."""
    quiet = {"num_pending": 0, "num_ack_pending": 0}
    consumers = [(of, {"name": of[1], **quiet, **(counts if of == busy else {})}) for of in sorted(LISTENERS)]
    return [
        {"name": name, "consumer_detail": [consumer for (stream, _), consumer in consumers if stream == name]}
        for name in ("PETPRO_COMMANDS", "PETPRO_EVENTS", "PETPRO_REPLIES")
    ]


def test_it_does_when_everybody_is_there_and_has_nothing_left() -> None:
    assert undelivered(streams()) == []


@pytest.mark.parametrize("count", ["num_pending", "num_ack_pending"])
def test_it_does_not_while_somebody_has_a_message_ahead_or_in_hand(count: str) -> None:
    assert undelivered(streams(BOOKING, **{count: 1})) == ["1 messages of PETPRO_EVENTS are not handled by booking"]


def test_it_does_not_while_somebody_who_should_listen_is_not_there() -> None:
    deaf = [stream for stream in streams() if stream["name"] != "PETPRO_REPLIES"]
    assert undelivered(deaf) == ["booking does not listen to PETPRO_REPLIES"]
