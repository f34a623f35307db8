"""`petproctl reviews ...`: look at a clinic's reviews, take one from the public, and give it back.

All goes through the gateway. What acts needs a reason, is audited, and with `--dry-run` is only foreseen.
"""

from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from petproctl.gateway import Json
from petproctl.terminal import EXIT_CODES, AsJson, DryRun, Limit, Reason, connection, say, session

app = typer.Typer(
    no_args_is_help=True,
    help="Reviews of clinics: list, unpublish, publish.",
    epilog=f"{EXIT_CODES}\n\n"
    "petproctl reviews list CLINIC_ID --unpublished  |  "
    'petproctl reviews unpublish ID --reason "names a person, ticket 47" --dry-run',
)
app.callback()(connection)

ReviewId = Annotated[UUID, typer.Argument(metavar="ID", help="as `reviews list` tells it", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    clinic_id: Annotated[UUID, typer.Argument(metavar="CLINIC_ID", show_default=False)],
    unpublished: Annotated[bool, typer.Option("--unpublished", help="those taken from the public instead")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List a clinic's reviews, the newest first."""
    with session(context) as gateway:
        wanted = {"unpublished": "true"} if unpublished else {}
        found = list(gateway.pages(f"/v1/clinics/{clinic_id}/reviews", "reviews", limit, **wanted))
    say(as_json, {"reviews": found}, lambda console: console.print(_table(found)))


@app.command(epilog='petproctl reviews unpublish ID --reason "names a person, ticket 47" --dry-run')
def unpublish(
    context: typer.Context, review_id: ReviewId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Take a review from the public. The rating counts without it; its author and the clinic still see it."""
    _act(context, "unpublish", review_id, reason, dry_run, as_json)


@app.command(epilog='petproctl reviews publish ID --reason "the author was right, ticket 47"')
def publish(
    context: typer.Context, review_id: ReviewId, reason: Reason, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Give a review back to the public."""
    _act(context, "publish", review_id, reason, dry_run, as_json)


def _act(context: typer.Context, verb: str, review_id: UUID, reason: str, dry_run: bool, as_json: bool) -> None:
    with session(context) as gateway:
        body = {"reason": reason, "dry_run": dry_run}
        review = gateway.post(f"/v1/operations/reviews/{review_id}:{verb}", body)["review"]
    is_published = bool(review.get("is_published"))
    told = {"id": str(review_id), "clinic_id": review["clinic_id"], "is_published": is_published}
    line = f"{review_id} {'would be' if dry_run else 'is'} {'published' if is_published else 'unpublished'}"
    say(as_json, told, lambda console: console.print(line, markup=False, highlight=False))


def _table(reviews: list[Json]) -> Table:
    drawn = Table("id", "rating", "comment", "since")
    drawn.columns[0].no_wrap = True
    for review in reviews:
        drawn.add_row(review["id"], str(review["rating"]), review.get("comment", "")[:200], review["created_at"][:10])
    return drawn
