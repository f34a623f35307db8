"""The commands: one group for each thing that is operated."""

import typer

from petproctl import dev, messages, money, saga
from petproctl.audit.command import command as audit

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Operate PetPro.")
app.add_typer(dev.app, name="dev")
app.command("audit")(audit)
app.add_typer(saga.app, name="saga")
app.add_typer(messages.app, name="messages")
app.add_typer(money.app, name="money")
