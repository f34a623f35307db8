"""`petproctl settlement ...`: settle what clinics have earned, and write their statements, through the gateway.

Settling needs a reason, is audited, and with `--dry-run` is only foreseen.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from petproctl import money_drawing
from petproctl.gateway import Json
from petproctl.terminal import EXIT_CODES, AsJson, DryRun, Limit, Out, Reason, connection, new_file, say, session

app = typer.Typer(
    no_args_is_help=True,
    help="Settlements of clinics: run, list, statement.",
    epilog=f"{EXIT_CODES}\n\n"
    'petproctl settlement run --until 2026-12-01T00:00:00+07:00 --reason "November" --dry-run  |  '
    "petproctl settlement list CLINIC_ID --json",
)
app.callback()(connection)


class Format(StrEnum):
    """Of a statement."""

    CSV = "csv"
    HTML = "html"


Instant = Annotated[str, typer.Option("--until", help="RFC 3339, UTC unless told", show_default=False)]


@app.command()
def run(
    context: typer.Context,
    until: Instant,
    reason: Reason,
    clinic: Annotated[str, typer.Option("--clinic", help="this clinic only")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Settle what clinics have earned before an instant. The same again settles only what is left."""
    body = {"until": instant(until), "clinic_id": clinic, "reason": reason, "dry_run": dry_run}
    made: list[Json] = []
    with session(context) as gateway:
        has_more = True
        while has_more:
            answer = gateway.post("/v1/operations/settlements:run", body)
            made += answer.get("settlements", [])
            has_more = answer.get("has_more", False) and not dry_run
    say(as_json, {"settlements": made}, lambda console: console.print(money_drawing.settlements(made)))


@app.command("list")
def list_(
    context: typer.Context,
    clinic_id: Annotated[str, typer.Argument(show_default=False)],
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List a clinic's settlements, newest first."""
    with session(context) as gateway:
        found = gateway.pages(f"/v1/clinics/{clinic_id}/settlements", "settlements", limit)
    say(as_json, {"settlements": found}, lambda console: console.print(money_drawing.settlements(found)))


@app.command()
def statement(
    context: typer.Context,
    settlement_id: Annotated[str, typer.Argument(show_default=False)],
    as_format: Annotated[Format, typer.Option("--format", help="for programs, or to print")] = Format.CSV,
    out: Out = None,
) -> None:
    """Write the statement of a settlement."""
    with new_file(out) as file, session(context) as gateway:
        path = f"/v1/settlements/{settlement_id}/statement"
        file.write(gateway.get(path, format=f"STATEMENT_FORMAT_{as_format.upper()}")["content"])


def instant(text: str) -> str:
    """An instant as the contracts want it. Anything else is wrong usage."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as fault:
        raise typer.BadParameter(f"--until is no instant: {text}") from fault
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC).isoformat().replace("+00:00", "Z")
