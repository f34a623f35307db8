"""What a booking leaves on the disk, and what a year of bookings does.

Bytes with indexes (`pg_total_relation_size`), counted over 292 bookings through the gateway, one in ten cancelled, by
`python -m tests.bench.bytes_per_booking`; how long they are kept is in `petpro_common.housekeeping`. Nothing that is
over was detached or archived.
"""

BOOKINGS_A_DAY = 60_000
"""At today's load; see `capacity.PEAK_BOOKINGS`."""
YEAR = 365
BYTES = {
    "booking": {7: 7_860, 60: 900, 180: 3_760, YEAR: 2_640},
    "payment": {7: 5_050, 60: 1_570, YEAR: 4_380},
    "notification": {60: 310, YEAR: 1_600},
}
"""By service: what one booking leaves, by the days for which it is kept; YEAR is for good."""


def gigabytes(service: str, load: int) -> float:
    """On the disk of a service's database after a year at so many times today's load."""
    kept = sum(days * left for days, left in BYTES[service].items())
    return kept * BOOKINGS_A_DAY * load / 1e9


def rows(loads: tuple[int, ...]) -> list[list[str]]:
    """The table of the page."""
    head = ["on the disk after a year", "a booking leaves", "of it for good", *(f"{load:,} times" for load in loads)]
    table = [head, ["---", *(["--:"] * (len(head) - 1))]]
    for service, left in BYTES.items():
        sizes = [f"{gigabytes(service, load):,.0f} GB" for load in loads]
        table.append([service, f"{sum(left.values()):,} B", f"{left[YEAR]:,} B", *sizes])
    return table
