"""`petproctl saga ...`: look at sagas and help those that cannot go on, as an administrator, through the gateway.

Every act is on the version that was looked at, needs a reason, is audited, and with `--dry-run` only foreseen.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from petproctl import saga_drawing
from petproctl.gateway import Gateway, Json, Refused
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

SAGAS = "/v1/operations/sagas"

app = typer.Typer(
    no_args_is_help=True,
    help="Sagas: look, retry, skip, compensate, resolve.",
    epilog=f"{EXIT_CODES}\n\n"
    'petproctl saga list --status parked  |  petproctl saga retry ID --reason "the provider is back" --dry-run',
)
app.callback()(connection)


class End(StrEnum):
    """How a person says that a parked saga ended."""

    COMPLETED = "completed"
    COMPENSATED = "compensated"


@dataclass(frozen=True)
class Act:
    """What is asked of each saga: the verb of the route, and what goes with it."""

    verb: str
    reason: str
    dry_run: bool
    outcome: str = ""

    def of(self, saga: Json) -> Json:
        """The request's body for one saga, on the version that was seen."""
        body = {"expected_version": saga["version"], "reason": self.reason, "dry_run": self.dry_run}
        return body | ({"outcome": self.outcome} if self.outcome else {})


@dataclass(frozen=True)
class Which:
    """One saga, perhaps on the version that was seen; or all that the filters find, at most `limit`."""

    saga_id: str
    version: int
    filters: Json
    limit: int
    yes: bool

    @property
    def is_narrow(self) -> bool:
        """Whether more than a status says which."""
        return bool(self.saga_id or any(value for name, value in self.filters.items() if name != "status"))


SagaId = Annotated[str, typer.Argument(help="the saga's id", show_default=False)]
SagaIdOrNone = Annotated[str, typer.Argument(help="one saga; without it, all that the filters find")]
Type = Annotated[str, typer.Option("--type", help="checkout, cancellation, clinic_cancellation or no_show")]
StatusOption = Annotated[str, typer.Option("--status", help="running, compensating, parked, completed, compensated")]
Key = Annotated[str, typer.Option("--key", help="business key, or its beginning up to and with a colon")]
StepOption = Annotated[str, typer.Option("--step", help="the step at which it stands")]
OlderThan = Annotated[str, typer.Option("--older-than", help="began so long ago or earlier: 90s, 15m, 2h, 1d")]
Version = Annotated[
    int, typer.Option("--version", help="the version you saw, unless as it stands now", show_default=False)
]


@app.command("list")
def list_(
    context: typer.Context,
    saga_type: Type = "",
    status: StatusOption = "",
    key: Key = "",
    step: StepOption = "",
    older_than: OlderThan = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List sagas, newest first."""
    filters = _filters(saga_type, status, key, step, older_than)
    with session(context) as gateway:
        sagas = _found(gateway, filters, limit)
    say(as_json, {"sagas": sagas}, lambda console: console.print(saga_drawing.table(sagas)))


@app.command()
def show(context: typer.Context, saga_id: SagaId, as_json: AsJson = False) -> None:
    """Draw one saga's timeline: every command, reply, retry, time-out and act of an operator, with durations."""
    with session(context) as gateway:
        saga = gateway.get(f"{SAGAS}/{saga_id}")["saga"]
    say(as_json, saga, lambda console: console.print(saga_drawing.whole(saga)))


def _command(verb: str, said: str) -> None:
    """Registers a verb on one saga, or on all that the filters find."""

    def command(
        context: typer.Context,
        reason: Reason,
        saga_id: SagaIdOrNone = "",
        saga_type: Type = "",
        status: StatusOption = "parked",
        key: Key = "",
        step: StepOption = "",
        older_than: OlderThan = "",
        limit: Limit = 100,
        version: Version = 0,
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        which = Which(saga_id, version, _filters(saga_type, status, key, step, older_than), limit, yes)
        _act_on(context, which, Act(verb, reason, dry_run), as_json)

    app.command(verb, help=f"{said} Without an id: all that the filters find.")(command)


_command("retry", "Ask the current step again now; a parked saga goes on.")
_command("skip", "Take the current step of another service as done, because a person has seen to it.")
_command("compensate", "Turn a saga back before its point of no return; what was done is undone.")


@app.command()
def resolve(
    context: typer.Context,
    outcome: Annotated[End, typer.Option("--as", help="how it ended", show_default=False)],
    reason: Reason,
    saga_id: SagaIdOrNone = "",
    saga_type: Type = "",
    key: Key = "",
    step: StepOption = "",
    older_than: OlderThan = "",
    limit: Limit = 100,
    version: Version = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End a parked saga by your word: you vouch for every step that is left.

    A booking whose cancellation it was is cancelled, or stands as before. Nothing else is changed.

    Without an id: all parked ones that the filters find.
    """
    which = Which(saga_id, version, _filters(saga_type, "parked", key, step, older_than), limit, yes)
    _act_on(context, which, Act("resolve", reason, dry_run, outcome.value), as_json)


def _filters(saga_type: str, status: str, key: str, step: str, older_than: str) -> Json:
    names = {"saga_type": saga_type, "status": status, "business_key": key, "step": step}
    return names | {"min_age_seconds": seconds(older_than)}


def _found(gateway: Gateway, filters: Json, limit: int) -> list[Json]:
    return gateway.pages(SAGAS, "sagas", limit, **filters)


def _seen(gateway: Gateway, saga_id: str, version: int) -> Json:
    saga: Json = gateway.get(f"{SAGAS}/{saga_id}")["saga"]
    return saga | ({"version": version} if version else {})


def _act_on(context: typer.Context, which: Which, act: Act, as_json: bool) -> None:
    """Acts on one, or after a yes on several. Whatever cannot be taken back is not done to all parked sagas at once."""
    if which.version and not which.saga_id:
        raise typer.BadParameter("--version goes with one saga's id")
    if act.verb != "retry" and not which.is_narrow:
        raise typer.BadParameter("name a saga, or say which by --type, --key, --step or --older-than")
    with session(context) as gateway:
        one = which.saga_id
        sagas = [_seen(gateway, one, which.version)] if one else _found(gateway, which.filters, which.limit)
        if not (one or act.dry_run or which.yes or not sagas):
            Console(stderr=True).print(saga_drawing.table(sagas))
            typer.confirm(f"{act.verb.capitalize()} these {len(sagas)}?", abort=True, err=True)
        _act(gateway, sagas, act, as_json)


def _act(gateway: Gateway, sagas: list[Json], act: Act, as_json: bool) -> None:
    """Acts on each, also when one before was refused; exits with REFUSED when any was."""
    results = [_result(gateway, saga, act) for saga in sagas]
    say(as_json, {"dry_run": act.dry_run, "results": results}, lambda console: _tell(console, act, sagas, results))
    if any("reason" in result for result in results):
        raise typer.Exit(REFUSED)


def _result(gateway: Gateway, saga: Json, act: Act) -> Json:
    try:
        after = gateway.post(f"{SAGAS}/{saga['id']}:{act.verb}", act.of(saga))["saga"]
    except Refused as refusal:
        return {"saga_id": saga["id"], "reason": refusal.reason, "message": str(refusal)}
    return {"saga_id": saga["id"], "saga": after}


def _tell(console: Console, act: Act, sagas: list[Json], results: list[Json]) -> None:
    for before, result in zip(sagas, results, strict=True):
        if "reason" in result:
            line = f"{result['saga_id']} refused: {result['reason']}: {result['message']}"
        else:
            after = result["saga"]
            would = "would go" if act.dry_run else "went"
            line = (
                f"{after['id']} {would} from {before['status']} at {before.get('step', '')} "
                f"to {after['status']} at {after.get('step', '')} (version {after['version']})"
            )
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not results:
        console.print("No saga is like that.")
