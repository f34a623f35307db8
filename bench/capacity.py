"""`python -m bench.capacity`: how much a load needs, and which limit it meets first, from what was measured.

The model is one multiplication: so many operations for each booking, so much CPU for each operation. It knows of no
queueing: it asks that nothing is used by more than `USED` of what there is, which keeps queues short.

Coefficients come from docs/benchmarks/results.json (CPU, by part; rates of the limits), and what one booking takes in
messages and commits was counted by `python -m tests.observability.pictures`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import bare_envoy, disk, results
from bench.page import filled
from bench.show import number
from bench.spread import middle
from devstack.layout import ROOT

FILE = ROOT / "docs" / "scaling.md"
LOADS = (1, 10, 100, 1_000)
PEAK_BOOKINGS = 2.0
"""A second, in the busiest hour of today's load: some 60,000 bookings a day."""
USED = 0.6
POOL = 10
POOL_CONNECTIONS = 500
"""Connections that a PostgreSQL takes well without a pooler."""
SERVICES = ("account", "catalog", "booking", "payment", "notification")
MIX = {"search": 10.0, "hold": 1.5, "checkout": 1.0, "cancellation": 0.1}
"""Operations for each booking: most who look do not book."""
MEASURED_AS = {
    "search": ("gateway", "five nearest clinics through the gateway"),
    "hold": ("holds", "hold through the gateway"),
    "checkout": ("sagas", "checkout saga"),
    "cancellation": ("sagas", "cancellation saga"),
}
_AT = "32 callers"
MESSAGES_PER_BOOKING = 9.3
COMMITS_PER_BOOKING = 38.0
_CPU = " CPU ms"


@dataclass(frozen=True)
class Model:
    """`cpu`: seconds of CPU for one booking with all that goes with it, by part. Rates are a second's."""

    cpu: dict[str, float]
    publishes: float
    syncs: float

    def cores(self, part: str, bookings: float) -> float:
        """Cores in use at so many bookings a second, if no more than USED of them may be."""
        return self.cpu[part] * bookings / USED

    def replicas(self, part: str, bookings: float) -> int:
        """Processes of one core each; two at least, so that one may go."""
        return max(2, math.ceil(self.cores(part, bookings)))

    def connections(self, bookings: float) -> int:
        """That all replicas of all services may open."""
        return POOL * sum(self.replicas(service, bookings) for service in SERVICES)

    def limits(self) -> list[tuple[str, float, str]]:
        """What ends first, at how many bookings a second, and what is done then; the lowest first."""
        found = [(f"one process of {part}", USED / self.cpu[part], "more replicas") for part in ("gateway", *SERVICES)]
        found += [
            (f"one PostgreSQL of {cores} cores for all services", cores * USED / self.cpu["postgres"], what)
            for cores, what in ((4, "more cores"), (64, "a server for each service; then partition by clinic"))
        ]
        found += [
            (f"{POOL_CONNECTIONS} connections", self._bookings_at(POOL_CONNECTIONS), "PgBouncer"),
            ("one NATS server, publishes", USED * self.publishes / MESSAGES_PER_BOOKING, "a stream for each service"),
            (
                "one disk, if each commit synced alone",
                USED * self.syncs / COMMITS_PER_BOOKING,
                "a disk for each database",
            ),
        ]
        return sorted(found, key=lambda limit: limit[1])

    def _bookings_at(self, connections: int) -> float:
        low, high = 0.0, 1e6
        while high - low > 0.01:
            half = (low + high) / 2
            low, high = (half, high) if self.connections(half) <= connections else (low, half)
        return low


def model(measured: dict[str, Any]) -> Model:
    """Made of the sections that were measured. Raises LookupError when one is missing."""
    cpu: dict[str, float] = {}
    for operation, times in MIX.items():
        section, what = MEASURED_AS[operation]
        figures = _figures(measured, section, what, _AT)
        for name, spent in figures.items():
            if name.endswith(_CPU) and name.removesuffix(_CPU) != bare_envoy.NAME:  # it idles beside the gateway
                part = name.removesuffix(_CPU)
                cpu[part] = cpu.get(part, 0.0) + times * spent / 1000
    publishes = _figures(measured, "limits", "JetStream publish, acknowledged", _AT)["a second"]
    syncs = _figures(measured, "limits", "write 8 KiB and fdatasync", "1 caller")["a second"]
    return Model(cpu, publishes, syncs)


def _figures(measured: dict[str, Any], section: str, what: str, at: str) -> dict[str, float]:
    for row in measured[section]["rows"]:
        if (row["at"], row["what"]) == (at, what):
            return dict(middle(row["rounds"]))
    raise LookupError(f"{section} has no {what} at {at}: run `make bench ONLY={section}`")


def text(of: Model) -> str:
    """The tables of the page."""
    parts = ("gateway", *SERVICES)
    needs: list[tuple[str, Callable[[float], str]]] = [
        ("bookings a second, busiest hour", lambda b: f"{b:,.0f}"),
        ("requests a second at the gateway, about", lambda b: f"{b * (sum(MIX.values()) + 2):,.0f}"),
        *((f"replicas of {part}", lambda b, part=part: f"{of.replicas(part, b):,}") for part in parts),
        ("cores of PostgreSQL, all databases", lambda b: f"{of.cores('postgres', b):,.1f}"),
        ("cores of NATS", lambda b: f"{of.cores('nats', b):,.1f}"),
        ("messages a second", lambda b: f"{b * MESSAGES_PER_BOOKING:,.0f}"),
        ("connections to PostgreSQL at most", lambda b: f"{of.connections(b):,}"),
    ]
    head = ["", *(f"{load:,} times" for load in LOADS)]
    table = [head, ["---", *(["--:"] * len(LOADS))]]
    table += [[name, *(say(PEAK_BOOKINGS * load) for load in LOADS)] for name, say in needs]
    limits = [["limit", "bookings a second", "then"], ["---", "--:", "---"]]
    limits += [[name, number(at), what] for name, at, what in of.limits()]
    cpu = ", ".join(f"{part} {number(spent * 1000)}" for part, spent in sorted(of.cpu.items(), key=lambda one: -one[1]))
    return "\n\n".join(
        [
            f"CPU for one booking with all that goes with it, in ms: {cpu}.",
            _rows(table),
            _rows(disk.rows(LOADS)),
            _rows(limits),
        ]
    )


def _rows(table: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def write() -> None:
    """Fills the page. Raises LookupError when a section has not been measured."""
    FILE.write_text(filled(FILE.read_text(), "capacity", text(model(results.read()))))


if __name__ == "__main__":
    write()
