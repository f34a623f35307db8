"""`petproctl money ...`: export the books, see what providers have, and end what waits for a person.

Every act goes through the gateway, needs a reason, is audited, and with `--dry-run` is only foreseen.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from petproctl import at_provider, beancount, money_drawing
from petproctl.gateway import Gateway, Json
from petproctl.settlement import Instant, instant
from petproctl.terminal import (
    EXIT_CODES,
    AsJson,
    DryRun,
    Limit,
    OlderThan,
    Out,
    Reason,
    connection,
    new_file,
    say,
    seconds,
    session,
)

OPERATIONS = "/v1/operations"

app = typer.Typer(
    no_args_is_help=True,
    help="Money: export, what providers have, refunds and payments for a person.",
    epilog=f"{EXIT_CODES}\n\n"
    "petproctl money at-provider --older-than 3d  |  petproctl money export --out books.beancount",
)
app.callback()(connection)
app.command("at-provider")(at_provider.command)


class Waits(StrEnum):
    """What a refund waits for: a person, as none could be made or it came back, the provider's word, or its time."""

    MANUAL = "manual"
    REVERSED = "reversed"
    UNKNOWN = "unknown"
    WAITING = "waiting"


Reference = Annotated[str, typer.Option("--reference", help="where it can be looked up; kept", show_default=False)]


@app.command()
def refunds(
    context: typer.Context,
    older_than: OlderThan = "",
    status: Annotated[Waits | None, typer.Option("--status", help="only these", show_default=False)] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List refunds that wait for a person, the oldest first; or those that the provider put off or keeps silent on."""
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
    """Say that you pay a customer in another way, before you do. The refund has succeeded, and its saga goes on."""
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
    """Ask the provider again for a refund that it had refused, or that failed there."""
    body = {"reason": reason, "dry_run": dry_run}
    with session(context) as gateway:
        refund = gateway.post(f"{OPERATIONS}/refunds/{refund_id}:retry", body)["refund"]
    done = "would be" if dry_run else "is"
    say(as_json, {"refund": refund}, lambda console: console.print(f"{refund_id} {done} sent to the provider again"))


@app.command()
def quarantine(context: typer.Context, older_than: OlderThan = "", limit: Limit = 50, as_json: AsJson = False) -> None:
    """List payments of which a provider took another amount than was ordered, or took it back, the oldest first."""
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
    as_json: AsJson = False,
) -> None:
    """Say that you know where the money of a quarantined payment is: given back, or found to be there after all."""
    body = {"reference": reference, "reason": reason, "dry_run": dry_run}
    with session(context) as gateway:
        gateway.post(f"{OPERATIONS}/quarantine/{payment_id}:close", body)
    done = "would be" if dry_run else "is"
    told = {"payment_id": payment_id, "dry_run": dry_run}
    say(as_json, told, lambda console: console.print(f"{payment_id} {done} closed"))


@app.command()
def export(context: typer.Context, until: Instant = "", out: Out = None) -> None:
    """Write the journal for beancount: `bean-check FILE` adds it up again, and finds each balance."""
    with new_file(out) as file, session(context) as gateway:
        file.writelines(beancount.export(_journal(gateway, instant(until) if until else "")))


def _journal(gateway: Gateway, until: str) -> Iterator[Json]:
    token = ""
    while True:
        page = gateway.get(f"{OPERATIONS}/journal", until=until, page_size=100, page_token=token)
        yield from page.get("transactions", [])
        token = page.get("next_page_token", "")
        if not token:
            return
