"""Looking on: free slots, one booking, the nearest clinics; beside an empty method."""

from bench import supply, work
from bench.measure import Meter, open_meter
from bench.rounds import Contestant, alternate, callers
from bench.section import Figures, Options, Results
from bench.stage import open_stage

NAME = "looks"
ABOUT = "Look-ups, at so many callers at once; ratios are to an empty gRPC method of the same server."
CALLERS = (1, 8, 32, 128)
EMPTY = "empty gRPC method"


async def run(options: Options) -> Results:
    """At each number of callers."""
    async with open_stage() as stage, open_meter(stage) as meter:
        booking_id = (await supply.bookings(meter, 1))[0]
        contestants = [one for number in CALLERS for one in contestants_at(meter, number, options.seconds, booking_id)]
        return Results(await alternate(contestants, options.rounds))


def contestants_at(meter: Meter, number: int, seconds: float, booking_id: str) -> list[Contestant]:
    """All look-ups at that number of callers."""
    stage = meter.stage

    async def one_booking() -> Figures:
        await stage.renew_token()
        return await meter.measure(work.look_up(stage, [booking_id]), number, seconds)

    def measured(what: work.Look, name: str, beside: str = EMPTY) -> Contestant:
        return Contestant(name, callers(number), lambda: meter.measure(what, number, seconds), beside)

    return [
        measured(work.empty(stage), EMPTY, ""),
        measured(work.availability(stage), "twenty free slots"),
        Contestant("one booking", callers(number), one_booking, EMPTY),
        measured(work.search(stage), "five nearest clinics"),
        measured(work.search_through_gateway(stage), "five nearest clinics through the gateway"),
    ]
