"""What counts as growth over an hour, and that it is drawn."""

from xml.etree import ElementTree

import pytest

from bench import plot, soak
from bench.usage import Memory

pytestmark = pytest.mark.unit


def hour(**of: list[float]) -> list[dict[str, Memory]]:
    """Samples of an hour; parts that are not named stay as they are."""
    parts = {part: of.get(part, [100.0] * 61) for part in soak.PARTS}
    return [{part: Memory(values[minute], 60.0) for part, values in parts.items()} for minute in range(61)]


def test_what_a_service_takes_until_it_is_warm_is_no_growth() -> None:
    warming = [100.0 + min(minute, 6) * 5 for minute in range(61)]
    target = soak.targets(hour(booking=warming))[0]
    assert target.reached


def test_a_service_that_grows_by_little_each_minute_is_found_and_named() -> None:
    leaking = [100.0 + minute * 0.1 for minute in range(61)]
    target = soak.targets(hour(payment=leaking))[0]
    assert not target.reached
    assert target.got == "payment the most, from 100.8 to 105.8 MiB"
    row = next(row for row in soak.memory_rows(hour(payment=leaking)) if row.what == "payment")
    assert row.rounds[0][soak.GROWTH] == pytest.approx(6.0)


def test_one_minute_that_stands_out_is_no_growth() -> None:
    hashing = [*[100.0] * 60, 119.0]
    assert soak.targets(hour(account=hashing))[0].reached


def test_postgres_may_grow_with_its_data() -> None:
    assert soak.targets(hour(postgres=[100.0 + minute for minute in range(61)]))[0].reached


def test_lines_are_drawn_on_one_scale_with_their_last_values() -> None:
    picture = plot.lines("memory", {"booking": [100.0, 200.0], "nats": [50.0, 50.0]})
    elements = list(ElementTree.fromstring(picture))  # noqa: S314 - ours
    words = {"".join(element.itertext()) for element in elements}
    assert {"memory", "booking 200", "nats 50.0"} <= words
    drawn = [element.get("points", "").split() for element in elements if element.tag.endswith("polyline")]
    heights = [[float(point.split(",")[1]) for point in points] for points in drawn]
    (low, high), (flat, still_flat) = heights
    assert flat == still_flat
    assert low - high == pytest.approx(2 * (flat - low))
