"""`python -m tests.observability.pictures`: draws the dashboards from a real run into docs/observability.

A stack of its own, a minute of bookings and cancellations, NATS killed in the middle for some seconds, and a real
Prometheus with our rules beside it. It also counts what one booking costs in messages and commits, for the capacity
model (`bench/capacity.py`).
"""

import asyncio
import threading
import time
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploy.observability.boards import DASHBOARDS
from devstack import testing
from devstack.layout import ROOT, SERVICES
from devstack.ports import Ports
from devstack.running import RunningStack
from petproctl.audit import metrics
from tests.audit.looking import look_over
from tests.observability.drawing import picture
from tests.observability.scraping import Prometheus, scraping
from tests.world import Clinic, Customer, World, open_world

OUTPUT = ROOT / "docs" / "observability"
_SECONDS, _TROUBLE_AT, _NATS_AWAY_AT, _NATS_AWAY_FOR = 50.0, 12.0, 25.0, 5.0
_PEOPLE, _SEATS = 4, 100
_JOB = "petpro-booking"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Runs, draws, and prints what was counted."""
    folder = testing.open_folder()
    try:
        stack = testing.start_stack(folder / "pictures")
        (served := folder / "served").mkdir()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        metrics.write(served / "metrics", look_over(stack), "everything")
        address, port = f"127.0.0.1:{server.server_address[1]}", Ports(folder / "ports", {}).of("prometheus")
        with scraping(stack, folder, address, port) as prometheus:
            began = time.time()
            asyncio.run(_traffic(stack, served / "metrics"))
            _draw(prometheus, began, time.time())
        server.shutdown()
    finally:
        testing.close_folder(folder, keep_logs=False)


async def _traffic(stack: RunningStack, audited: Path) -> None:
    async with open_world(stack) as world:
        clinic = await world.clinic(capacity=_SEATS)
        people = [await world.customer() for _ in range(_PEOPLE)]
        before = await _counted(world)
        until = time.monotonic() + _SECONDS
        coming = [_come_and_go(world, who, clinic, number, until) for number, who in enumerate(people)]
        traffic = asyncio.gather(*coming)
        await asyncio.sleep(_TROUBLE_AT)
        await _trouble(world, await world.customer(), clinic)
        await asyncio.sleep(_NATS_AWAY_AT - _TROUBLE_AT)
        await stack.kill("nats")
        await asyncio.sleep(_NATS_AWAY_FOR)
        await stack.start_part("nats")
        await traffic
        await asyncio.sleep(6)
        await asyncio.to_thread(lambda: metrics.write(audited, look_over(stack), "everything"))
        await asyncio.sleep(3)
        after = await _counted(world)
    made = {name: after[name] - before[name] for name in after}
    print({name: round(count / made["bookings"], 1) for name, count in made.items()}, "for each booking")


async def _come_and_go(world: World, who: Customer, clinic: Clinic, number: int, until: float) -> None:
    """One customer after another hour: look, hold, pay, and cancel every tenth booking."""
    visits = number
    while time.monotonic() < until:
        visits += 1
        slot = clinic.slot(number + 2 * _PEOPLE * (visits // _SEATS))
        await world.seats_taken(clinic, slot)
        reservation = await world.hold(who, slot)
        await world.checkout(who, reservation)
        booking = await world.checkout_ends(who, reservation, "CONFIRMED")
        if visits % 10 == 0:
            await world.cancel(who.api, booking["booking_id"])
        await asyncio.sleep(0.2)


async def _trouble(world: World, who: Customer, clinic: Clinic) -> None:
    """What dashboards are for: a clinic does not answer, a provider's answer is lost, a refund is refused for good."""
    slow = await world.clinic(requires_approval=True)
    await world.checkout(who, await world.hold(who, slow.slot()))
    await world.book(who, clinic.slot(_PEOPLE), "tok_timeout_then_success")
    kept = await world.book(who, clinic.slot(_PEOPLE + 1), "tok_refund_refused")
    await world.cancel(clinic.owner, kept["id"])


async def _counted(world: World) -> Mapping[str, float]:
    """Rows of bookings and of all outboxes, and commits of all databases."""
    messages = sum([(await world.rows(name, "SELECT count(*) AS n FROM outbox"))[0]["n"] for name in SERVICES])
    commits = await world.rows("booking", "SELECT sum(xact_commit) AS n FROM pg_stat_database")
    bookings = await world.rows("booking", "SELECT count(*) AS n FROM bookings")
    return {"bookings": bookings[0]["n"], "messages": messages, "commits": float(commits[0]["n"])}


def _draw(prometheus: Prometheus, began: float, ended: float) -> None:
    OUTPUT.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        drawn = [
            (
                panel,
                [
                    line
                    for legend, query in panel.queries
                    for line in prometheus.lines(query, legend, _JOB, began, ended)
                ],
            )
            for panel in dashboard.panels
        ]
        (OUTPUT / f"{dashboard.name}.svg").write_text(picture(dashboard, drawn, ended - began))


if __name__ == "__main__":
    main()
