"""`petproctl messages ...`: look at messages that services set aside, have them handled again, or give them up.

All of it goes through the gateway. A message is named `service:id`, as the auditor names it. A redrive or a discard
needs a reason, is audited, takes effect once, and with `--dry-run` is only foreseen. A message that fails again counts
as refused. A discard cannot be undone, so it asks first, of one message too.
"""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from petproctl import messages_drawing
from petproctl.gateway import Gateway, Json, Refused
from petproctl.places import Service
from petproctl.terminal import (
    EXIT_CODES,
    REFUSED,
    AsJson,
    DryRun,
    Limit,
    Reason,
    Yes,
    connection,
    say,
    seconds,
    session,
)

MESSAGES = "/v1/operations/messages"
_GONE = "PARKED_MESSAGE_NOT_FOUND"
_SAID = {
    "discarded": "was discarded",
    "failed": "failed again: {error}",
    "gone": "was redriven or discarded by somebody else meanwhile",
    "refused": "refused: {reason}: {message}",
}
_SAID_OF = {
    "redrive": {"foreseen": "would be handled again", "handled": "was handled, and is no longer parked"},
    "discard": {"foreseen": "would be discarded", "handled": "had been handled already, and is no longer parked"},
}

app = typer.Typer(
    no_args_is_help=True,
    help="Parked messages: look, redrive, discard.",
    epilog=f"{EXIT_CODES} A message that fails again counts as refused.\n\n"
    'petproctl messages list --older-than 15m  |  petproctl messages redrive payment:12 --reason "repaired"  |  '
    'petproctl messages discard payment:12 --reason "published by hand, nobody can read it"',
)
app.callback()(connection)


@dataclass(frozen=True)
class Name:
    """A message's service, and its number there."""

    service: Service
    number: str

    def __str__(self) -> str:
        return f"{self.service}:{self.number}"

    @property
    def path(self) -> str:
        return f"{MESSAGES}/{self.service}/{self.number}"


def _name(text: str) -> Name:
    service, _, number = text.partition(":")
    if service not in set(Service) or not number.isdecimal():
        raise typer.BadParameter("write it like payment:12")
    return Name(Service(service), number)


SomeName = Annotated[
    Name | None,
    typer.Argument(metavar="SERVICE:ID", help="one message; without it, all that the filters find", parser=_name),
]
MessageName = Annotated[Name, typer.Argument(metavar="SERVICE:ID", parser=_name, show_default=False)]
OfService = Annotated[Service | None, typer.Option("--service", help="of this service alone", show_default=False)]
Subject = Annotated[str, typer.Option("--subject", help="subject, or its beginning up to and with a dot")]
Words = Annotated[str, typer.Option("--error", help="words that the error holds")]
OlderThan = Annotated[str, typer.Option("--older-than", help="set aside so long ago or earlier: 90s, 15m, 2h, 1d")]


@app.command("list")
def list_(
    context: typer.Context,
    service: OfService = None,
    subject: Subject = "",
    error: Words = "",
    older_than: OlderThan = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List parked messages, service by service, those set aside first before others."""
    filters = _filters(subject, error, older_than)
    with session(context) as gateway:
        messages = _found(gateway, service, filters, limit)
    say(as_json, {"messages": messages}, lambda console: console.print(messages_drawing.table(messages)))


@app.command()
def show(context: typer.Context, name: MessageName, as_json: AsJson = False) -> None:
    """Show one: what its envelope says, why it was set aside, and every redrive. Never what it holds."""
    with session(context) as gateway:
        message = _seen(gateway, name)
    say(as_json, message, lambda console: console.print(messages_drawing.whole(message)))


@app.command()
def redrive(
    context: typer.Context,
    reason: Reason,
    name: SomeName = None,
    service: OfService = None,
    subject: Subject = "",
    error: Words = "",
    older_than: OlderThan = "",
    limit: Limit = 100,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have a message handled again by the service that set it aside. Without a name: all that the filters find."""
    filters = _filters(subject, error, older_than)
    with session(context) as gateway:
        messages = [_seen(gateway, name)] if name else _found(gateway, service, filters, limit)
        if not (name or dry_run or yes or not messages):
            _confirm("Redrive", messages)
        results = [_result(gateway, "redrive", message, reason, dry_run) for message in messages]
    _end("redrive", as_json, dry_run, results)


@app.command()
def discard(
    context: typer.Context,
    reason: Reason,
    name: SomeName = None,
    service: OfService = None,
    subject: Subject = "",
    error: Words = "",
    older_than: OlderThan = "",
    limit: Limit = 100,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before")] = False,
    as_json: AsJson = False,
) -> None:
    """Give up a message that nobody can handle: it is gone, never takes effect, and is not parked again.

    Without a name: all that the filters find, of which --subject or --error has to be one. It cannot be undone. Who it
    was, and why, is kept; what the message held is not.
    """
    if not (name or subject or error):
        raise typer.BadParameter("name a message, or give --subject or --error")
    filters = _filters(subject, error, older_than)
    with session(context) as gateway:
        messages = [_seen(gateway, name)] if name else _found(gateway, service, filters, limit)
        if not (dry_run or yes or not messages):
            _confirm("Discard", messages)
        results = [_result(gateway, "discard", message, reason, dry_run) for message in messages]
    _end("discard", as_json, dry_run, results)


def _confirm(verb: str, messages: list[Json]) -> None:
    Console(stderr=True).print(messages_drawing.table(messages))
    typer.confirm(f"{verb} these {len(messages)}?", abort=True, err=True)


def _end(verb: str, as_json: bool, dry_run: bool, results: list[Json]) -> None:
    say(as_json, {"dry_run": dry_run, "results": results}, lambda console: _tell(console, verb, results))
    if any(result["outcome"] in ("failed", "refused") for result in results):
        raise typer.Exit(REFUSED)


def _filters(subject: str, error: str, older_than: str) -> Json:
    return {"subject": subject, "error": error, "min_age_seconds": seconds(older_than)}


def _found(gateway: Gateway, service: Service | None, filters: Json, limit: int) -> list[Json]:
    found: list[Json] = []
    for each in [service] if service else Service:
        of_service = gateway.pages(f"{MESSAGES}/{each}", "messages", limit - len(found), **filters)
        found += [{"name": f"{each}:{message['id']}", **message} for message in of_service]
    return found


def _seen(gateway: Gateway, name: Name) -> Json:
    return {"name": str(name), **gateway.get(name.path)["message"]}


def _result(gateway: Gateway, verb: str, message: Json, reason: str, dry_run: bool) -> Json:
    name = _name(message["name"])
    body = {"id": name.number, "reason": reason, "dry_run": dry_run}
    try:
        results = gateway.post(f"{MESSAGES}/{name.service}:{verb}", body)["results"]
    except Refused as refusal:
        outcome = "gone" if refusal.reason == _GONE else "refused"
        return {"name": str(name), "outcome": outcome, "reason": refusal.reason, "message": str(refusal)}
    if not results:  # from a release before
        return {"name": str(name), "outcome": "gone"}
    (result,) = results
    outcome = result["outcome"].removeprefix("REDRIVE_OUTCOME_").lower()
    return {"name": str(name), "outcome": outcome, "error": result["message"]["error"] if outcome == "failed" else ""}


def _tell(console: Console, verb: str, results: list[Json]) -> None:
    said = _SAID | _SAID_OF[verb]
    for result in results:
        line = f"{result['name']} {said[result['outcome']].format(**result)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not results:
        console.print("No parked message is like that.")
