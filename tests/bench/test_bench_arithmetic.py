"""Ratios are taken round by round, figures are medians, and what is printed says both."""

import pytest

from bench import instructions
from bench.load import Outcome
from bench.measure import CLIENT_CPU, REFUSED, cpu_name, figures_of
from bench.section import P50, P99, RATE, NothingEnded, Row
from bench.show import cells, cpu, headings, number
from bench.spread import find, middle, ratio, ratio_of

pytestmark = pytest.mark.unit

PGBENCH = Row("pgbench", "1 caller", [{RATE: 100.0}, {RATE: 200.0}, {RATE: 50.0}])
HOLD = Row("hold", "1 caller", [{RATE: 50.0, P50: 2.0}, {RATE: 150.0, P50: 4.0}, {RATE: 40.0, P50: 3.0}], "pgbench")


def test_a_slow_minute_of_the_machine_does_not_change_the_ratio() -> None:
    found = ratio(HOLD.rounds, PGBENCH.rounds, RATE)
    assert (found.middle, found.lowest, found.highest) == (0.75, 0.5, 0.8)
    assert str(found) == "75% (50%-80%)"


def test_a_row_is_compared_with_the_one_beside_it_at_the_same_setting() -> None:
    elsewhere = Row("pgbench", "8 callers", [{RATE: 1.0}] * 3)
    assert ratio_of(HOLD, [elsewhere, PGBENCH, HOLD]) == ratio(HOLD.rounds, PGBENCH.rounds, RATE)
    assert ratio_of(PGBENCH, [PGBENCH]) is None
    with pytest.raises(LookupError):
        find([elsewhere], "pgbench", "1 caller")


def test_rounds_of_unlike_number_are_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio(HOLD.rounds, PGBENCH.rounds[:2], RATE)


def test_figures_of_a_row_are_medians_and_a_figure_that_is_missing_counts_as_nothing() -> None:
    assert middle(HOLD.rounds) == {RATE: 50.0, P50: 3.0}
    assert middle([{"booking": 2.0}, {}, {}]) == {"booking": 0.0}


def test_a_round_counts_what_ended_in_its_time_over_all_clients() -> None:
    clients = [
        Outcome(taken=[1.0] * 60, cpu_seconds=0.01, last_end=12.0),
        Outcome(taken=[3.0] * 40, refused=25, cpu_seconds=0.03, last_end=11.9),
    ]
    figures = figures_of(clients, begin=10.0, end=12.0, cpu={"booking": 0.2, "nats": 0.0001})
    assert figures[RATE] == pytest.approx(50)
    assert (figures[P50], figures[P99]) == (1.0, 3.0)
    assert figures[REFUSED] == pytest.approx(20)
    assert figures[CLIENT_CPU] == pytest.approx(0.4)
    assert figures[cpu_name("booking")] == pytest.approx(2)
    assert cpu_name("nats") not in figures


def test_work_that_was_used_up_early_counts_until_its_last_end() -> None:
    figures = figures_of([Outcome(taken=[1.0] * 10, last_end=11.0)], begin=10.0, end=15.0, cpu={})
    assert figures[RATE] == pytest.approx(10)


def test_a_round_without_work_is_an_error() -> None:
    with pytest.raises(NothingEnded):
        figures_of([Outcome(taken=[1.0])], begin=0.0, end=1.0, cpu={})


def test_all_cpu_times_share_a_column_and_small_ones_are_not_named() -> None:
    spent = {CLIENT_CPU: 0.1, cpu_name("postgres"): 0.5, cpu_name("booking"): 1.5, cpu_name("nats"): 0.01}
    assert cpu(spent) == "0.10 + 2.01 (booking 1.50, postgres 0.50)"
    row = Row("hold", "1 caller", [{RATE: 1234.5, REFUSED: 0.0, **spent}])
    columns = headings([row])
    assert columns == ["at", "what", RATE, "CPU ms each: client + servers"]
    assert cells(row, [row], columns)[2] == "1,234"


@pytest.mark.parametrize(("value", "said"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234"), (None, "")])
def test_numbers_have_three_digits_that_count(value: float | None, said: str) -> None:
    assert number(value) == said


def test_what_has_become_dearer_than_recorded_is_marked() -> None:
    rows = [Row("hold", "8 callers", [{"booking": 0.6, "postgres": 0.2, RATE: 1.0}])]
    assert instructions.to_record(rows) == {"hold": {"booking": 0.6, "postgres": 0.2}}
    dearer, same = instructions.compared(rows, {"hold": {"booking": 0.5, "postgres": 0.2}})
    assert dearer == "hold, booking: 0.600 now, 0.500 recorded, +20% <- more"
    assert same == "hold, postgres: 0.200 now, 0.200 recorded, +0%"
    assert instructions.compared(rows, {})[0].endswith("new")
