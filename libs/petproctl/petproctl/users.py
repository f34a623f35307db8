"""`petproctl users ...`: find a person's account, see in which state it is, export all that is held of them, close or
open it, give it a role, and erase them.

What reads asks the database; what acts goes through the gateway, needs a reason, is audited, and with `--dry-run` is
only foreseen. Addresses and telephone numbers are covered up unless `--reveal` is said: an operator seldom needs them.
"""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from petproctl.audit.databases import Databases
from petproctl.gateway import Gateway, Json
from petproctl.places import Service
from petproctl.reading import Dsns, databases, folder_of
from petproctl.terminal import EXIT_CODES, AsJson, DryRun, Limit, Out, Reason, connection, new_file, say, session

NOT_FOUND = 1

app = typer.Typer(
    no_args_is_help=True,
    help="People's accounts: find, show, export, suspend, reinstate, give a role, end sessions, unlock, erase.",
    epilog=f"{EXIT_CODES} Of `show` and `export`, 1 also says that there is no such account.\n\n"
    "petproctl users show dewi@example.com  |  petproctl users list --role clinic --status suspended  |  "
    'petproctl users suspend ID --reason "phishing, ticket 42" --dry-run  |  '
    'petproctl users set-role ID admin --reason "joins the desk, ticket 44"',
)
app.callback()(connection)


class Role(StrEnum):
    CUSTOMER = "customer"
    CLINIC = "clinic"
    ADMIN = "admin"


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASED = "erased"


_ACCOUNTS = """
    SELECT id, email, phone_number, role, account_status, verification_status, created_at, last_login_at FROM users
"""
_LIST = (
    _ACCOUNTS
    + """
    WHERE (%(role)s::text IS NULL OR role = %(role)s) AND (%(status)s::text IS NULL OR account_status = %(status)s)
    ORDER BY id DESC LIMIT %(limit)s
"""
)
_BY_ID = _ACCOUNTS + "WHERE id = %(id)s"
_BY_EMAIL = _ACCOUNTS + "WHERE lower(email) = lower(%(email)s)"
_PETS = "SELECT id, species, deleted_at IS NOT NULL AS is_deleted FROM pets WHERE user_id = %(id)s ORDER BY id"

UserId = Annotated[UUID, typer.Argument(metavar="ID", help="as `users show` tells it", show_default=False)]
Reveal = Annotated[bool, typer.Option("--reveal", help="show addresses and numbers as they are")]


@app.command("list")
def list_(
    context: typer.Context,
    role: Annotated[Role | None, typer.Option("--role", help="of this role alone", show_default=False)] = None,
    status: Annotated[Status | None, typer.Option("--status", help="in this state alone", show_default=False)] = None,
    limit: Limit = 50,
    reveal: Reveal = False,
    dsn: Dsns = None,
    as_json: AsJson = False,
) -> None:
    """List accounts, the newest first."""
    with databases(folder_of(context), dsn) as read:
        found = read.rows("account", _LIST, {"role": role, "status": status, "limit": limit})
    users = [_told(row, reveal) for row in found]
    say(as_json, {"users": users}, lambda console: console.print(_table(users)))


@app.command()
def show(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="ID|EMAIL", show_default=False)],
    reveal: Reveal = False,
    dsn: Dsns = None,
    as_json: AsJson = False,
) -> None:
    """Show one account by id or e-mail address, with its pets."""
    with databases(folder_of(context), dsn) as read:
        found = _find(read, who)
        pets = read.rows("account", _PETS, {"id": found["id"]})
    user = _told(found, reveal) | {"pets": [{**pet, "id": str(pet["id"])} for pet in pets]}
    say(as_json, user, lambda console: _draw(console, user))


@app.command(epilog="petproctl users export dewi@example.com --out dewi.json")
def export(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="ID|EMAIL", show_default=False)],
    out: Out = None,
    dsn: Dsns = None,
) -> None:
    """Write all that every service holds of a person as JSON, for a request that comes by letter.

    An address is looked up in the database, an id is not.
    """
    with new_file(out) as file:
        user_id = str(_id(who)) if "@" not in who else ""
        if not user_id:
            with databases(folder_of(context), dsn) as read:
                user_id = str(_find(read, who)["id"])
        with session(context) as gateway:
            held = {service.value: _held(gateway, service.value, user_id) for service in Service}
        typer.echo(json.dumps({"user_id": user_id, "services": held}, indent=2, ensure_ascii=False), file)


@app.command(epilog='petproctl users suspend ID --reason "phishing, ticket 42" --dry-run')
def suspend(
    context: typer.Context, user_id: UserId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Close an account and end its sessions: who has it cannot sign in. What was booked stands."""
    _act(context, "suspend", user_id, reason, dry_run, as_json)


@app.command(epilog='petproctl users reinstate ID --reason "was not them, ticket 42"')
def reinstate(
    context: typer.Context, user_id: UserId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Open a suspended account again."""
    _act(context, "reinstate", user_id, reason, dry_run, as_json)


@app.command("set-role", epilog='petproctl users set-role ID admin --reason "joins the desk, ticket 44" --dry-run')
def set_role(
    context: typer.Context,
    user_id: UserId,
    role: Annotated[Role, typer.Argument(help="who they are from now on", show_default=False)],
    reason: Reason,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make somebody an administrator, or an administrator somebody else. A new role ends their sessions."""
    _act(context, "setRole", user_id, reason, dry_run, as_json, role=f"ROLE_{role.name}")


@app.command("end-sessions", epilog='petproctl users end-sessions ID --reason "telephone lost, ticket 43" --json')
def end_sessions(
    context: typer.Context, user_id: UserId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """End all sessions of a person, who may sign in anew. Tokens that are out last a quarter of an hour at most."""
    _act(context, "endSessions", user_id, reason, dry_run, as_json)


@app.command(epilog='petproctl users unlock ID --reason "called from a known number"')
def unlock(
    context: typer.Context, user_id: UserId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Forget the failed sign-ins that closed a person's address for a while."""
    _act(context, "unlockSignIn", user_id, reason, dry_run, as_json)


@app.command(epilog='petproctl users erase ID --reason "asks by letter, ticket 45" --dry-run')
def erase(
    context: typer.Context, user_id: UserId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Make a customer anonymous, everywhere and for good. What is to come is cancelled under each booking's policy.

    Of one who was erased all services are told again: needed when one was restored from an older backup.
    """
    _act(context, "erase", user_id, reason, dry_run, as_json)


def _act(
    context: typer.Context, verb: str, user_id: UUID, reason: str, dry_run: bool, as_json: bool, **more: str
) -> None:
    with session(context) as gateway:
        body = {"reason": reason, "dry_run": dry_run, **more}
        answer = gateway.post(f"/v1/operations/users/{user_id}:{verb}", body)
    ended = int(answer.get("ended_sessions", 0))
    user = answer["user"]
    role, status = user["role"].removeprefix("ROLE_").lower(), user["account_status"]
    told = {"id": str(user_id), "role": role, "account_status": status, "ended_sessions": ended}
    would = "would be " if dry_run else ""
    line = f"{user_id} {would}{role}, {status}; sessions {would}ended: {ended}"
    say(as_json, told, lambda console: console.print(line, markup=False, highlight=False))


def _held(gateway: Gateway, service: str, user_id: str) -> dict[str, list[Json]]:
    """What one service holds of a person, by table."""
    tables: dict[str, list[Json]] = {}
    for row in gateway.pages(f"/v1/personal-data/{service}", "rows", sys.maxsize, user_id=user_id):
        tables.setdefault(row["table"], []).append(row["values"])
    return tables


def _find(read: Databases, who: str) -> dict[str, Any]:
    """The account of that id or address; ends the command when there is none."""
    statement, values = (_BY_EMAIL, {"email": who}) if "@" in who else (_BY_ID, {"id": _id(who)})
    found = read.rows("account", statement, values)
    if not found:
        Console(stderr=True).print("There is no such account.")
        raise typer.Exit(NOT_FOUND)
    return found[0]


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter("neither an id nor an e-mail address") from None


def _told(row: dict[str, Any], reveal: bool) -> dict[str, Any]:
    plain = {name: str(value) if value is not None else "" for name, value in row.items()}
    return plain if reveal else plain | {"email": _covered(plain["email"]), "phone_number": plain["phone_number"][-2:]}


def _covered(email: str) -> str:
    """d...@example.com: enough to know it again."""
    name, at, domain = email.partition("@")
    return f"{name[:1]}...{at}{domain}"


def _table(users: list[dict[str, Any]]) -> Table:
    drawn = Table("id", "e-mail", "role", "status", "verified", "since")
    drawn.columns[0].no_wrap = True
    for user in users:
        states = (user["role"], user["account_status"], user["verification_status"])
        drawn.add_row(user["id"], user["email"], *states, user["created_at"][:10])
    return drawn


def _draw(console: Console, user: dict[str, Any]) -> None:
    for name, value in user.items():
        if name != "pets":
            console.print(f"{name:20} {value}", markup=False, highlight=False)
    for pet in user["pets"]:
        gone = " (removed)" if pet["is_deleted"] else ""
        console.print(f"{'pet':20} {pet['id']} {pet['species']}{gone}", markup=False, highlight=False)
