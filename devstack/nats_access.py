"""Who may say and hear what on NATS, in one list; the server's configuration is written from it.

A service says what is on its own subjects, and hears the streams by which its work comes, through its own consumer of
each. What it may not do, whatever becomes of its password:

1. Speak on the subjects of another, or have a stream do so: it makes streams that are missing, and changes none. How
   one is made is up to who makes it, but that is only while the broker has none of this name.
2. Hear a stream that it has no part in. Of one in which it has a part it may read all: JetStream draws no line there.

So a message is what its subject names: who hears one that says to be anything else sets it aside (`OutOfPlace`).

JetStream answers to where it is asked to, so its own words can be had sent to another's subject. They are no message of
ours: who hears them sets them aside.
"""

from dataclasses import dataclass

EVENTS, COMMANDS, REPLIES = STREAMS = ("PETPRO_EVENTS", "PETPRO_COMMANDS", "PETPRO_REPLIES")


@dataclass(frozen=True)
class Access:
    """What one service sends and hears."""

    events: tuple[str, ...] = ()
    """First words of its event types: `booking` covers `petpro.events.booking.>`."""
    commands_to: tuple[str, ...] = ()
    """Services that it gives commands to."""
    replies: bool = False
    """Whether it answers commands."""
    hears: tuple[str, ...] = ()
    """Streams of which it has a consumer, named after it."""


ACCESS = {
    "account": Access(events=("user", "pet")),
    "catalog": Access(events=("clinic", "service", "staff", "review"), hears=(EVENTS,)),
    "booking": Access(events=("reservation", "checkout", "booking"), commands_to=("payment",), hears=(EVENTS, REPLIES)),
    "payment": Access(events=("payment", "refund"), replies=True, hears=(EVENTS, COMMANDS)),
    "notification": Access(hears=(EVENTS,)),
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
        *(f"$JS.API.STREAM.{verb}.{stream}" for stream in STREAMS for verb in ("INFO", "CREATE")),
        *(subject for stream in access.hears for subject in _own_consumer(stream, service)),
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
