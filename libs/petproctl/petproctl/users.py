"""`petproctl users ...`: find a person's account, and see in which state it is. It reads only.

Addresses and telephone numbers are covered up unless `--reveal` is said: an operator seldom needs them.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from petproctl.reading import Dsns, RunFolder, databases
from petproctl.terminal import AsJson, Limit, say

NOT_FOUND = 1

app = typer.Typer(
    no_args_is_help=True,
    help="People's accounts: find, show.",
    epilog="petproctl users show dewi@example.com  |  petproctl users list --role clinic --status suspended",
)


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

Reveal = Annotated[bool, typer.Option("--reveal", help="show addresses and numbers as they are")]


@app.command("list")
def list_(
    role: Annotated[Role | None, typer.Option("--role", help="of this role alone", show_default=False)] = None,
    status: Annotated[Status | None, typer.Option("--status", help="in this state alone", show_default=False)] = None,
    limit: Limit = 50,
    reveal: Reveal = False,
    dsn: Dsns = None,
    as_json: AsJson = False,
    run: RunFolder = Path(".run"),
) -> None:
    """List accounts, the newest first."""
    with databases(run, dsn) as read:
        found = read.rows("account", _LIST, {"role": role, "status": status, "limit": limit})
    users = [_told(row, reveal) for row in found]
    say(as_json, {"users": users}, lambda console: console.print(_table(users)))


@app.command()
def show(
    who: Annotated[str, typer.Argument(metavar="ID|EMAIL", show_default=False)],
    reveal: Reveal = False,
    dsn: Dsns = None,
    as_json: AsJson = False,
    run: RunFolder = Path(".run"),
) -> None:
    """Show one account by id or e-mail address, with its pets. Exit code 1 when there is none."""
    statement, values = (_BY_EMAIL, {"email": who}) if "@" in who else (_BY_ID, {"id": _id(who)})
    with databases(run, dsn) as read:
        found = read.rows("account", statement, values)
        if not found:
            Console(stderr=True).print("There is no such account.")
            raise typer.Exit(NOT_FOUND)
        pets = read.rows("account", _PETS, {"id": found[0]["id"]})
    user = _told(found[0], reveal) | {"pets": [{**pet, "id": str(pet["id"])} for pet in pets]}
    say(as_json, user, lambda console: _draw(console, user))


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
