"""`petproctl money ...`: pay the clinics, export the books, and end what waits for a person, through the gateway.

Every act needs a reason, is audited, and with `--dry-run` is only foreseen. Exit codes are those of `terminal`.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from petproctl import beancount, money_drawing
from petproctl.gateway import Gateway, Json
from petproctl.terminal import AsJson, DryRun, Limit, Reason, connection, say, seconds, session

OPERATIONS = "/v1/operations"

app = typer.Typer(no_args_is_help=True, help="Money: settle, statements, export, refunds and payments for a person.")
app.callback()(connection)


class Format(StrEnum):
    """Of a statement."""

    CSV = "csv"
    HTML = "html"


class Waits(StrEnum):
    """What a refund waits for: a person, as none could be made or it came back, or the provider's word."""

    MANUAL = "manual"
    REVERSED = "reversed"
    UNKNOWN = "unknown"


OlderThan = Annotated[str, typer.Option("--older-than", help="has waited so long or longer: 90s, 15m, 2h, 1d")]
Reference = Annotated[str, typer.Option("--reference", help="where it can be looked up; kept", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="a file; else standard output", show_default=False)]
Instant = Annotated[str, typer.Option("--until", help="RFC 3339, UTC unless told", show_default=False)]


@app.command()
def refunds(
    context: typer.Context,
    older_than: OlderThan = "",
    status: Annotated[Waits | None, typer.Option("--status", help="only these", show_default=False)] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List refunds that wait for a person, the oldest first; or those of which nobody knows what the provider did."""
    which = {"status": f"REFUND_STATUS_{status.upper()}"} if status else {}
    with session(context) as gateway:
        found = gateway.pages(f"{OPERATIONS}/refunds", "refunds", limit, min_age_seconds=seconds(older_than), **which)
    say(as_json, {"refunds": found}, lambda console: console.print(money_drawing.refunds(found)))


@app.command("pay-out")
def pay_out(
    context: typer.Context,
    refund_id: Annotated[str, typer.Argument(show_default=False)],
    reference: Reference,
    reason: Reason,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say that you have paid a customer in another way. The refund has succeeded, and its saga goes on."""
    body = {"reference": reference, "reason": reason, "dry_run": dry_run}
    with session(context) as gateway:
        refund = gateway.post(f"{OPERATIONS}/refunds/{refund_id}:payOut", body)["refund"]
    done = "would be" if dry_run else "is"
    say(as_json, {"refund": refund}, lambda console: console.print(f"{refund_id} {done} paid"))


@app.command()
def retry(
    context: typer.Context,
    refund_id: Annotated[str, typer.Argument(show_default=False)],
    reason: Reason,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Ask the provider again for a refund that it had refused."""
    body = {"reason": reason, "dry_run": dry_run}
    with session(context) as gateway:
        refund = gateway.post(f"{OPERATIONS}/refunds/{refund_id}:retry", body)["refund"]
    done = "would be" if dry_run else "is"
    say(as_json, {"refund": refund}, lambda console: console.print(f"{refund_id} {done} sent to the provider again"))


@app.command()
def quarantine(context: typer.Context, older_than: OlderThan = "", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List payments of which a provider took another amount than was ordered, the oldest first."""
    with session(context) as gateway:
        found = gateway.pages(f"{OPERATIONS}/quarantine", "payments", limit, min_age_seconds=seconds(older_than))
    say(as_json, {"payments": found}, lambda console: console.print(money_drawing.quarantine(found)))


@app.command()
def close(
    context: typer.Context,
    payment_id: Annotated[str, typer.Argument(show_default=False)],
    reference: Reference,
    reason: Reason,
    dry_run: DryRun = False,
) -> None:
    """Say that the provider has given back what it took for a quarantined payment."""
    body = {"reference": reference, "reason": reason, "dry_run": dry_run}
    with session(context) as gateway:
        gateway.post(f"{OPERATIONS}/quarantine/{payment_id}:close", body)
    typer.echo(f"{payment_id} {'would be' if dry_run else 'is'} closed")


@app.command()
def settle(
    context: typer.Context,
    until: Instant,
    reason: Reason,
    clinic: Annotated[str, typer.Option("--clinic", help="this clinic only")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Settle what clinics have earned before an instant. The same again settles only what is left."""
    body = {"until": _instant(until), "clinic_id": clinic, "reason": reason, "dry_run": dry_run}
    made: list[Json] = []
    with session(context) as gateway:
        has_more = True
        while has_more:
            answer = gateway.post(f"{OPERATIONS}/settlements:run", body)
            made += answer.get("settlements", [])
            has_more = answer.get("has_more", False) and not dry_run
    say(as_json, {"settlements": made}, lambda console: console.print(money_drawing.settlements(made)))


@app.command()
def settlements(
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
    with session(context) as gateway:
        path = f"/v1/settlements/{settlement_id}/statement"
        file = gateway.get(path, format=f"STATEMENT_FORMAT_{as_format.upper()}")
    _write(out, iter([file["content"]]))


@app.command()
def export(context: typer.Context, until: Instant = "", out: Out = None) -> None:
    """Write the journal for beancount: `bean-check FILE` adds it up again, and finds each balance."""
    with session(context) as gateway:
        _write(out, beancount.export(_journal(gateway, _instant(until) if until else "")))


def _journal(gateway: Gateway, until: str) -> Iterator[Json]:
    token = ""
    while True:
        page = gateway.get(f"{OPERATIONS}/journal", until=until, page_size=100, page_token=token)
        yield from page.get("transactions", [])
        token = page.get("next_page_token", "")
        if not token:
            return


def _instant(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as fault:
        raise typer.BadParameter(f"--until is no instant: {text}") from fault
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _write(out: Path | None, pieces: Iterator[str]) -> None:
    if out is None:
        sys.stdout.writelines(pieces)
        return
    with out.open("w", newline="") as file:
        file.writelines(pieces)
