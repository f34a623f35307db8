"""The commands: one group for each thing that is operated."""

import typer

from petproctl import dev

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Operate PetPro.")
app.add_typer(dev.app, name="dev")
