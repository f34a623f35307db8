"""The capacity model: plain arithmetic on what was measured, and a page that shows just that."""

import pytest

from bench import capacity, results
from bench.capacity import Model
from bench.page import filled

MODEL = Model(
    cpu={"gateway": 0.01, "account": 0.001, "catalog": 0.06, "booking": 0.02, "payment": 0.02, "notification": 0.02}
    | {"postgres": 0.03, "nats": 0.003},
    publishes=10_000,
    syncs=5_000,
)


def test_replicas_are_never_used_by_more_than_allowed_and_there_are_two() -> None:
    assert MODEL.replicas("booking", 0.1) == 2
    assert MODEL.replicas("booking", 120) == 4
    assert MODEL.cores("booking", 120) / MODEL.replicas("booking", 120) <= 1


def test_a_thousand_times_the_load_needs_a_thousand_times_the_cores() -> None:
    assert MODEL.cores("postgres", 2_000) == pytest.approx(1_000 * MODEL.cores("postgres", 2))


def test_limits_come_in_the_order_in_which_they_are_met() -> None:
    found = {name: at for name, at, _ in MODEL.limits()}
    assert list(found.values()) == sorted(found.values())
    assert next(iter(found)) == "one process of catalog"
    assert found["one process of catalog"] == pytest.approx(10)
    assert MODEL.connections(found["500 connections"]) <= capacity.POOL_CONNECTIONS
    assert MODEL.connections(found["500 connections"] + 20) > capacity.POOL_CONNECTIONS


def test_what_was_not_measured_is_named() -> None:
    with pytest.raises(LookupError, match="make bench ONLY=gateway"):
        capacity.model({"gateway": {"rows": []}})


def test_the_page_shows_what_the_results_say() -> None:
    page = capacity.FILE.read_text()
    said = filled(page, "capacity", capacity.text(capacity.model(results.read())))
    assert said == page, "run `python -m bench.capacity`"
