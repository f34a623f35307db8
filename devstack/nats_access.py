"""Who may say and hear what on NATS: each service its own subjects, and nothing else.

This is the one place that lists them; the server's configuration is written from it.
"""

from dataclasses import dataclass

STREAMS = ("PETPRO_EVENTS", "PETPRO_COMMANDS", "PETPRO_REPLIES")


@dataclass(frozen=True)
class Access:
    """What one service sends. What it hears comes through its own durable consumers alone."""

    events: tuple[str, ...] = ()
    """First words of its event types: `booking` covers `petpro.events.booking.>`."""
    commands_to: tuple[str, ...] = ()
    """Services that it gives commands to."""
    replies: bool = False
    """Whether it answers commands."""


ACCESS = {
    "account": Access(events=("user", "pet")),
    "catalog": Access(events=("clinic", "service", "staff", "review")),
    "booking": Access(events=("reservation", "checkout", "booking"), commands_to=("payment",)),
    "payment": Access(events=("payment", "refund"), replies=True),
    "notification": Access(),
}


def may_publish(service: str) -> list[str]:
    """The subjects a service may publish on, JetStream's own among them."""
    access = ACCESS[service]
    own = [
        *(f"petpro.events.{event}.>" for event in access.events),
        *(f"petpro.commands.{target}.>" for target in access.commands_to),
        *(["petpro.replies.>"] if access.replies else []),
    ]
    return [
        *own,
        *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in _streams_of(own)),
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        *(f"$JS.API.STREAM.{verb}.{stream}" for stream in STREAMS for verb in ("INFO", "CREATE", "UPDATE")),
        *(subject for stream in STREAMS for subject in _own_consumer(stream, service)),
    ]


def _streams_of(subjects: list[str]) -> list[str]:
    """The streams that take these subjects, in which a service must find its own messages again."""
    kinds = {subject.split(".")[1].upper() for subject in subjects}
    return [stream for stream in STREAMS if stream.removeprefix("PETPRO_") in kinds]


def may_subscribe(service: str) -> list[str]:
    """The subjects a service may subscribe to: answers to its own requests."""
    return [f"_INBOX_{service}.>"]


def _own_consumer(stream: str, durable: str) -> list[str]:
    return [
        f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}",
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}",
        f"$JS.API.CONSUMER.DELETE.{stream}.{durable}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
    ]
