"""`petproctl audit`: reads, compares, names what is wrong. Exit code 0 clean, 1 violations, 2 could not look."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from petproctl import places
from petproctl.audit import metrics, state
from petproctl.audit.databases import CannotLook, Databases
from petproctl.audit.lists import AskedThroughPayment, Lists
from petproctl.audit.look import Scope
from petproctl.audit.model import INVARIANTS
from petproctl.audit.provider import Sandbox
from petproctl.audit.run import Outcome, Report, audit
from petproctl.gateway import Gateway, sign_in_of

VIOLATIONS, COULD_NOT_LOOK = 1, 2

_KEY_FILE = Path("payment") / "petpro_payment_sandbox_api_key"

Dsns = Annotated[list[str] | None, typer.Option("--dsn", help="SERVICE=URL; else PETPRO_AUDIT_<SERVICE>_DSN")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", envvar="PETPRO_AUDIT_PASSWORD_FILE", help="the password of every --dsn"),
]
Url = Annotated[str, typer.Option("--provider-url", envvar="PETPRO_AUDIT_PROVIDER_URL", help="else the stack's")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--provider-key-file", envvar="PETPRO_AUDIT_PROVIDER_KEY_FILE", help="a file with the API key"),
]
Since = Annotated[str, typer.Option("--since", help="only what changed since; RFC 3339, UTC unless told")]
StateFile = Annotated[Path | None, typer.Option("--state", help="go on where the last run with this file ended")]
MetricsFile = Annotated[Path | None, typer.Option("--metrics", help="Prometheus text, for a textfile collector")]
PushUrl = Annotated[str, typer.Option("--push", envvar="PETPRO_AUDIT_PUSH_URL", help="a Pushgateway; not with --only")]
Grace = Annotated[float, typer.Option("--grace", min=0, help="seconds that a change over several services may take")]
Pause = Annotated[float, typer.Option("--pause", min=0, help="seconds between two looks at a suspect")]
Only = Annotated[list[str] | None, typer.Option("--only", help="an invariant's name; may be repeated")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
GatewayUrl = Annotated[str, typer.Option("--gateway", envvar="PETPROCTL_GATEWAY", help="for lists of other providers")]
Email = Annotated[str, typer.Option("--email", envvar="PETPROCTL_EMAIL", help="an administrator's, for the gateway")]
RunFolder = Annotated[Path, typer.Option("--run", envvar="PETPRO_RUN", help="a dev stack's folder")]


def command(
    dsn: Dsns = None,
    password_file: PasswordFile = None,
    provider_url: Url = "",
    provider_key_file: KeyFile = None,
    since: Since = "",
    state_file: StateFile = None,
    metrics_file: MetricsFile = None,
    push_url: PushUrl = "",
    grace: Grace = 60,
    pause: Pause = 3,
    only: Only = None,
    as_json: AsJson = False,
    gateway: GatewayUrl = "",
    email: Email = "",
    run: RunFolder = Path(".run"),
) -> None:
    """Check what must hold over all services, and name what does not. Reads only; traffic may flow.

    Exit codes: 0 clean; 1 violations; 2 could not look.
    """
    try:
        _known(only or [])
        endpoints = places.platform(run)
        dsns = _with_password(places.dsns(endpoints, dsn or []), password_file)
        last = _last(state_file, since, only or [])
        scope = Scope(last.since, timedelta(seconds=grace))
        with ExitStack() as open_things:
            client = open_things.enter_context(_client(provider_url, provider_key_file, endpoints))
            databases = Databases(dsns, open_things)
            lists = _lists(open_things, run, gateway, email, endpoints)
            pauses = timedelta(seconds=pause)
            report = audit(databases, Sandbox(client), scope, only or (), pauses, last.unsettled, lists)
        if state_file:
            state.save(state_file, report)
        looked_at: metrics.Extent = "changes" if state_file or since else "everything"
        if metrics_file:
            metrics.write(metrics_file, report, looked_at)
        if push_url and not only:
            metrics.push(push_url, report, looked_at)
    except (CannotLook, places.Nowhere) as reason:
        Console(stderr=True).print(str(reason), markup=False, highlight=False)
        raise typer.Exit(COULD_NOT_LOOK) from reason
    _print_json(report) if as_json else _print_table(report)
    raise typer.Exit(VIOLATIONS if report.violations else 0)


def _known(only: list[str]) -> None:
    if unknown := set(only) - INVARIANTS.keys():
        raise CannotLook(f"No such invariant: {', '.join(sorted(unknown))}. There are: {', '.join(INVARIANTS)}")


def _last(file: Path | None, since: str, only: list[str]) -> state.State:
    """Where to go on. What a file remembers is about all invariants."""
    if file and (since or only):
        raise CannotLook(
            "--state says by itself since when, and is about all invariants: no --since or --only with it."
        )
    return state.load(file) if file else state.State(_instant(since))


def _with_password(dsns: dict[str, str], file: Path | None) -> dict[str, str]:
    password = _secret("The databases' password", file)
    return {name: make_conninfo(dsn, password=password) for name, dsn in dsns.items()} if file else dsns


def _secret(what: str, file: Path | None) -> str:
    try:
        return file.read_text().strip() if file else ""
    except OSError as fault:
        raise CannotLook(f"{what} cannot be read: {fault}") from fault


def _client(url: str, key_file: Path | None, endpoints: dict[str, Any]) -> httpx.Client:
    if not url and "sandbox" in endpoints:
        url, key_file = endpoints["sandbox"]["url"], Path(endpoints["secrets"]) / _KEY_FILE
    if not url or key_file is None:
        raise CannotLook("Where is the payment provider? Give --provider-url and --provider-key-file.")
    key = _secret("The provider's key", key_file)
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20, trust_env=False)


def _lists(open_things: ExitStack, run: Path, url: str, email: str, endpoints: dict[str, Any]) -> Lists | None:
    """By way of the gateway, as an administrator, if one is known."""
    if not (email or "admin" in endpoints.get("users", {})):
        Console(stderr=True).print("No administrator is named: other providers' lists are not read.", highlight=False)
        return None
    return AskedThroughPayment(lambda: open_things.enter_context(Gateway(sign_in_of(run, url, email))))


def _instant(told: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(told) if told else None
    except ValueError as fault:
        raise CannotLook(f"--since is no instant: {told}") from fault
    return instant.replace(tzinfo=UTC) if instant and instant.tzinfo is None else instant


def _print_json(report: Report) -> None:
    told = {
        "clean": not report.violations,
        "until": report.until.astimezone(UTC).isoformat(),
        "seconds": round(report.seconds, 3),
        "checked": [_checked(each) for each in report.outcomes],
        "violations": [asdict(violation) for violation in report.violations],
        "waiting_for_a_person": report.waiting,
    }
    typer.echo(json.dumps(told, indent=2))


def _checked(outcome: Outcome) -> dict[str, Any]:
    return {
        "invariant": outcome.invariant.name,
        "violations": len(outcome.standing),
        "is_cut": outcome.is_cut,
        "postponed": len(outcome.tally.postponed),
        "rows": outcome.tally.rows,
        "seconds": round(outcome.seconds, 3),
    }


def _print_table(report: Report) -> None:
    console = Console()
    if report.violations:
        table = Table("no.", "invariant", "subject", "what is wrong")
        for one in report.violations:
            table.add_row(str(one.number), one.invariant, escape(one.subject), escape(one.detail))
        console.print(table)
    waiting = ", ".join(f"{count} {what}" for what, count in report.waiting.items() if count)
    rows = sum(each.tally.rows for each in report.outcomes)
    typer.echo(f"{len(report.outcomes)} invariants, {rows} rows, {len(report.violations)} violations.")
    if cut := [each.invariant.name for each in report.outcomes if each.is_cut]:
        typer.echo(f"There are more of: {', '.join(cut)}")
    typer.echo(f"Waiting for a person: {waiting or 'nothing'}. Next time: --since {report.until.isoformat()}")
