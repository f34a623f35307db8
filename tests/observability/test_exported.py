"""Every metric that a rule or a dashboard names is exported by a running part, and traffic moves what counts it."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from devstack.running import RunningStack
from petproctl.audit import metrics
from tests.audit.looking import look_over
from tests.observability.rules import metrics_named
from tests.waiting import eventually
from tests.world import World, open_world

_SUFFIXES = ("", "_total", "_count", "_sum", "_bucket")


def _exported(text: str) -> set[str]:
    """What is declared: a metric with labels that nothing has moved yet is, too."""
    families = list(text_string_to_metric_families(text))
    samples = {sample.name for family in families for sample in family.samples}
    return samples | {family.name + suffix for family in families for suffix in _SUFFIXES}


async def _scraped(stack: RunningStack) -> dict[str, str]:
    said = stack.endpoints
    urls = {name: service["metrics"] for name, service in said["services"].items()}
    urls["gateway"] = f"{said['gateway']['admin_url']}/stats/prometheus?usedonly"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return {part: (await client.get(url)).raise_for_status().text for part, url in urls.items()}


async def test_what_rules_and_dashboards_name_is_exported(stack: RunningStack, tmp_path: Path) -> None:
    file = tmp_path / "audit.prom"
    metrics.write(file, look_over(stack), "everything")
    named = metrics_named() - _exported(file.read_text())
    assert len(named) > 30
    async with open_world(stack) as world:
        await world.customer()

        async def all_exported() -> bool:  # Envoy tells of its histograms every five seconds
            return named <= set[str]().union(*map(_exported, (await _scraped(stack)).values()))

        await eventually(f"all of these to be exported: {sorted(named)}", all_exported)


async def test_a_booking_and_its_cancellation_show_in_the_metrics(stack: RunningStack) -> None:
    async with open_world(stack) as world:
        before = await _totals(world)
        clinic = await world.clinic()
        customer = await world.customer()
        booking = await world.book(customer, clinic.slot())
        await world.cancel(customer.api, booking["id"])
        await world.saga_ends(f"cancellation:{booking['id']}:", "completed")

        async def moved() -> bool:
            now = await _totals(world)
            return all(now[name] > before[name] for name in _MOVED)

        await eventually("the metrics to show it", moved)


_MOVED = (
    "petpro_rpc_seconds_count",
    "petpro_messages_published_total",
    "petpro_messages_handled_total",
    "petpro_message_delay_seconds_count",
    "petpro_sagas_ended_total",
    "petpro_saga_seconds_count",
    "petpro_event_loop_lag_seconds_count",
    "envoy_http_downstream_rq_xx",
)


async def _totals(world: World) -> dict[str, float]:
    totals = dict.fromkeys(_MOVED, 0.0)
    for text in (await _scraped(world.stack)).values():
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name if sample.name in totals else sample.name.removesuffix("_total")
                if name in totals:
                    totals[name] += sample.value
    return totals
