"""Sagas from the request to their end, as booking's database tells it.

The bookings that are cancelled are those that the checkouts before have made, so everything comes through the API and
the auditor can hold all of it together afterwards. A provider that answers at once is played by the sandbox; its CPU is
shown apart.
"""

from dataclasses import dataclass, field

from bench import audit, supply, work
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import P50, P99, RATE, Figures, Options, Results, Row, Target
from bench.spread import typical
from bench.stage import open_stage
from bench.synced import synced_broker

NAME = "sagas"
ABOUT = "Sagas from the request to their end, at so many at once."
CALLERS = (1, 8, 32, 128)
CHECKOUT, CANCELLATION, COMPENSATED = "checkout saga", "cancellation saga", "cancellation saga, refund refused"
AT_ONCE = "cancellation saga, money gone with the provider's answer"
SYNCED = "cancellation saga, JetStream syncs each message"
SYNCED_AT = 32
_FIRST_GUESS = 100.0  # checkouts a second
_MORE_THAN_NEEDED = 1.5
_NOTES = [
    "The end is what booking's database says, looked at every millisecond and 2 % of the shortest saga, once a saga is "
    "60 % as old as that one became: looking must not take the CPU from what is looked at.",
    "The played provider takes a refund on, and reports the money gone by a webhook a moment later, but where its "
    "answer already does; what it refuses is undone, and the booking stands. Its own CPU time is shown: on few cores "
    "it is a share of what limits.",
]


@dataclass
class Sagas:
    """Measures sagas; what one kind leaves the next one takes."""

    meter: Meter
    seconds: float
    _rate: dict[int, float] = field(default_factory=dict)
    _bookings: list[str] = field(default_factory=list)

    def contestants(self, number: int) -> list[Contestant]:
        """The kinds at that number of callers."""
        at = callers(number)
        return [
            Contestant(CHECKOUT, at, lambda: self.checkouts(number)),
            Contestant(CANCELLATION, at, lambda: self.cancellations(number)),
            Contestant(AT_ONCE, at, lambda: self.paid_by("tok_refund_at_once", "completed", number)),
            Contestant(COMPENSATED, at, lambda: self.paid_by("tok_refund_refused", "compensated", number)),
        ]

    async def checkouts(self, number: int) -> Figures:
        """Leaves the bookings that it makes."""
        rate = self._rate.get(number, _FIRST_GUESS)
        held = await supply.holds(self.meter, max(4 * number, round(rate * _MORE_THAN_NEEDED * self.seconds)))
        answers: list[bytes] = []
        figures = await self._measure(work.checkout(self.meter.stage, held), number, answers)
        self._rate[number] = figures[RATE]
        self._bookings += supply.booked(answers)
        return figures

    async def cancellations(self, number: int) -> Figures:
        """Of the bookings that were left."""
        bookings, self._bookings = self._bookings, []
        return await self._measure(work.cancellation(self.meter.stage, bookings), number)

    async def synced(self, number: int) -> Figures:
        """Of bookings made for it, with a broker that acknowledges only what is on the disk."""
        bookings = await supply.bookings(self.meter, max(4 * number, round(self._rate[number] * self.seconds)))
        async with synced_broker(self.meter.stage):
            return await self._measure(work.cancellation(self.meter.stage, bookings), number)

    async def paid_by(self, means: str, end: str, number: int) -> Figures:
        """Of bookings made for it, for whose means the provider does something else with the refund."""
        count = max(4 * number, round(self._rate[number] * self.seconds / 2))
        bookings = await supply.bookings(self.meter, count, means)
        return await self._measure(work.cancellation(self.meter.stage, bookings, end), number)

    async def _measure(self, what: work.Saga, number: int, answers: list[bytes] | None = None) -> Figures:
        await self.meter.stage.renew_token()
        return await self.meter.measure(what, number, self.seconds, drains=True, answers=answers)


async def run(options: Options) -> Results:
    """At each number of callers; afterwards the auditor looks at all of it."""
    async with open_stage() as stage, open_meter(stage) as meter:
        sagas = Sagas(meter, options.seconds)
        contestants = [one for number in CALLERS for one in sagas.contestants(number)]
        contestants.append(Contestant(SYNCED, callers(SYNCED_AT), lambda: sagas.synced(SYNCED_AT)))
        rows = await alternate(contestants, options.rounds)
        return Results(rows, [*targets(rows), await audit.verdict(stage)], _NOTES)


def targets(rows: list[Row]) -> list[Target]:
    """What was asked of cancellations alone and of 32 at once."""
    alone = typical(rows, CANCELLATION, callers(1), P50)
    p50, p99 = (typical(rows, CANCELLATION, callers(32), name) for name in (P50, P99))
    synced = typical(rows, SYNCED, callers(SYNCED_AT), RATE)
    return [
        Target("cancellation, 1 caller: p50 at most 5 ms", f"{alone:.1f} ms", alone <= 5),
        Target("cancellation, 32 at once: p99 at most 2 x p50", f"{p99 / p50:.1f} x", p99 <= 2 * p50),
        Target(
            "cancellation, 32 at once, JetStream syncs each message: 1,000 a second", f"{synced:.1f}", synced >= 1000
        ),
    ]
