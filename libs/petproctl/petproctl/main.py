"""The commands: one group for each thing that is operated."""

import typer

from petproctl import dev, messages, money, partitions, reviews, saga, settlement, status, users
from petproctl.audit.command import command as audit

app = typer.Typer(
    no_args_is_help=True,
    help="Operate PetPro: a dev stack in .run, the platform that PETPROCTL_CONFIG describes, or the cluster around.",
    epilog="petproctl status  |  petproctl saga list --status parked  |  petproctl messages list --json  |  "
    "petproctl --install-completion",
)
app.command("status", epilog="petproctl status --json | jq '.parts[] | select(.is_ready | not)'")(status.command)
app.add_typer(saga.app, name="saga")
app.add_typer(messages.app, name="messages")
app.add_typer(money.app, name="money")
app.add_typer(settlement.app, name="settlement")
app.command("audit", epilog="petproctl audit --only seats-counted --json  |  petproctl audit --state audit.json")(audit)
app.command("partitions", epilog="petproctl partitions --dsn booking=postgresql://reader@db/booking")(
    partitions.command
)
app.add_typer(users.app, name="users")
app.add_typer(reviews.app, name="reviews")
app.add_typer(dev.app, name="dev")
