"""Grafana's dashboards as data: what each panel asks, and where it stands.

A query is PromQL with what Grafana fills in: `$job` on the dashboard of one service, `$__rate_interval` everywhere.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """Lines over time. `unit` is Grafana's: s, reqps, short, percentunit; `queries` are legends with their PromQL."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    says: str = ""


@dataclass(frozen=True)
class Dashboard:
    """Panels, three in a row."""

    name: str
    title: str
    panels: Sequence[Panel]
    of_one_service: bool = False


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}[$__rate_interval])))"


_PUBLIC = 'envoy_http_conn_manager_prefix="public"'
_ANSWERED = 'envoy_cluster_name!~".*-streams|gateway-.*"'
_FAULTS = 'code=~"INTERNAL|UNKNOWN|UNAVAILABLE|DEADLINE_EXCEEDED|DATA_LOSS"'
_JOB = 'job="$job"'

OVERVIEW = Dashboard("overview", "PetPro / Overview", (
    Panel("Requests at the gateway", "reqps",
          [("{{envoy_response_code_class}}xx", _rate(f"envoy_http_downstream_rq_xx{{{_PUBLIC}}}",
                                                     "envoy_response_code_class"))]),
    Panel("How long requests take", "ms",
          [(f"p{q}", _quantile(q / 100, f"envoy_cluster_upstream_rq_time_bucket{{{_ANSWERED}}}"))
           for q in (50, 95, 99)],
          "Without streams, which last by design."),
    Panel("Allowance burnt in an hour", "short",
          [("failed requests", "petpro:gateway_errors:ratio_rate1h / 0.001"),
           ("slow requests", "petpro:gateway_slow:ratio_rate1h / 0.01"),
           ("failed calls, {{job}}", "petpro:call_errors:ratio_rate1h / 0.001"),
           ("late messages, {{job}}", "petpro:messages_late:ratio_rate1h / 0.01")],
          "1 is what was promised; at 14.4 somebody is woken."),
    Panel("Calls of each service", "reqps", [("{{job}}", _rate("petpro_rpc_seconds_count", "job"))]),
    Panel("Faults of each service", "reqps", [("{{job}}", _rate(f"petpro_rpc_seconds_count{{{_FAULTS}}}", "job"))]),
    Panel("Replicas ready", "short",
          [("{{job}}", "sum by (job) (petpro_ready)"), ("gateway", "sum(envoy_server_live)")]),
    Panel("Waits for a person", "short",
          [("sagas parked", 'sum(max by (saga_type, step) (petpro_sagas{status="parked"}))'),
           ("messages parked, {{job}}", "max by (job) (petpro_parked_messages)"),
           ("{{what}}", 'max by (what) (petpro_payment_waiting{what!="refund at the provider"})'),
           ("violations", "sum(max by (invariant) (petpro_audit_violations))")]),
    Panel("Ends of sagas", "reqps", [("{{saga_type}} {{status}}", _rate("petpro_sagas_ended_total",
                                                                        "saga_type, status"))]),
    Panel("Oldest message in an outbox", "s", [("{{job}}", "max by (job) (petpro_outbox_oldest_seconds)")]),
))  # fmt: skip

SERVICE = Dashboard("service", "PetPro / Service", (
    Panel("Rate by method", "reqps", [("{{method}}", _rate(f"petpro_rpc_seconds_count{{{_JOB}}}", "method"))]),
    Panel("Errors by code", "reqps",
          [("{{method}} {{code}}", _rate(f'petpro_rpc_seconds_count{{{_JOB},code!="OK"}}', "method, code"))]),
    Panel("Duration by method, p95", "s",
          [("{{method}}", _quantile(0.95, f"petpro_rpc_seconds_bucket{{{_JOB}}}", "method"))]),
    Panel("Calls in hand and refused", "short",
          [("in hand, {{instance}}", f"petpro_calls_in_hand{{{_JOB}}}"),
           ("refused a second", _rate(f"petpro_calls_shed_total{{{_JOB}}}", "job"))]),
    Panel("Streams open", "short", [("{{instance}}", f"petpro_streams_open{{{_JOB}}}")]),
    Panel("Connections to the database", "short",
          [("{{state}}, {{instance}}", f"petpro_db_connections{{{_JOB}}}"),
           ("waiting, {{instance}}", f"petpro_db_waiting{{{_JOB}}}"),
           ("limit", f"max(petpro_db_connections_limit{{{_JOB}}})")]),
    Panel("Event loop late", "s",
          [(f"p{q}", _quantile(q / 100, f"petpro_event_loop_lag_seconds_bucket{{{_JOB}}}")) for q in (50, 99)]),
    Panel("CPU", "percentunit", [("{{instance}}", f"rate(process_cpu_seconds_total{{{_JOB}}}[$__rate_interval])")]),
    Panel("Memory", "bytes", [("{{instance}}", f"process_resident_memory_bytes{{{_JOB}}}")]),
    Panel("Background work that failed", "reqps",
          [("{{task}}", _rate(f"petpro_background_failures_total{{{_JOB}}}", "task"))]),
    Panel("Background work that fails since", "s",
          [("{{task}}, {{instance}}", f"time() - (petpro_background_failing_since_timestamp_seconds{{{_JOB}}} > 0)")]),
    Panel("Partitions ahead", "short", [("{{table}}", f"min by (table) (petpro_partitions_ahead{{{_JOB}}})")],
          "Of booking; at 0 the next period has none."),
    Panel("Booked slots off the clock", "short",
          [("{{instance}}", f"petpro_slots_off_the_clock{{{_JOB}}}")], "Of booking, as of its last look."),
), of_one_service=True)  # fmt: skip

SAGAS = Dashboard("sagas", "PetPro / Sagas", (
    Panel("Where sagas stand", "short",
          [("{{saga_type}} {{status}} at {{step}}", "max by (saga_type, status, step) (petpro_sagas) > 0")]),
    Panel("The stillest of each", "s",
          [("{{saga_type}} {{status}} at {{step}}",
            "max by (saga_type, status, step) (petpro_sagas_oldest_seconds) > 0")]),
    Panel("Parked", "short",
          [("{{saga_type}} at {{step}}", 'max by (saga_type, step) (petpro_sagas{status="parked"})')]),
    Panel("Ends", "reqps", [("{{saga_type}} {{status}}", _rate("petpro_sagas_ended_total", "saga_type, status"))]),
    Panel("From start to end, p50", "s",
          [("{{saga_type}}", _quantile(0.5, "petpro_saga_seconds_bucket", "saga_type"))]),
    Panel("From start to end, p99", "s",
          [("{{saga_type}}", _quantile(0.99, "petpro_saga_seconds_bucket", "saga_type"))]),
))  # fmt: skip

MONEY = Dashboard("money", "PetPro / Money", (
    Panel("Waits", "short", [("{{what}}", "max by (what) (petpro_payment_waiting)")]),
    Panel("The oldest of what waits", "s", [("{{what}}", "max by (what) (petpro_payment_waiting_oldest_seconds)")]),
    Panel("Calls to a provider without an answer", "reqps",
          [("{{provider}}", _rate("petpro_provider_unknown_outcomes_total", "provider"))]),
    Panel("Violations found by the auditor", "short",
          [("{{invariant}}", "max by (invariant) (petpro_audit_violations) > 0"),
           ("all", "sum(max by (invariant) (petpro_audit_violations))")]),
    Panel("Since the last audit", "s",
          [("{{scope}}", "time() - max by (scope) (petpro_audit_last_success_timestamp_seconds)")]),
    Panel("Became a person's work", "short",
          [("refunds", "sum(increase(petpro_refunds_manual_total[1h]))"),
           ("payments", "sum(increase(petpro_payments_quarantined_total[1h]))")], "In an hour."),
))  # fmt: skip

MESSAGING = Dashboard("messaging", "PetPro / Messaging", (
    Panel("Published", "reqps", [("{{job}} {{stream}}", _rate("petpro_messages_published_total", "job, stream"))]),
    Panel("Handled", "reqps", [("{{consumer}} {{outcome}}", _rate("petpro_messages_handled_total",
                                                                  "consumer, outcome"))]),
    Panel("From the broker to the effect, p99", "s",
          [("{{job}} {{stream}}", _quantile(0.99, "petpro_message_delay_seconds_bucket", "job, stream"))]),
    Panel("Depth of the outbox", "short", [("{{job}}", "max by (job) (petpro_outbox_unpublished)")]),
    Panel("Age of the outbox", "s", [("{{job}}", "max by (job) (petpro_outbox_oldest_seconds)")]),
    Panel("Published again, and new work refused", "reqps",
          [("again, {{job}}", _rate("petpro_outbox_republished_total", "job")),
           ("refused, {{job}}", _rate("petpro_outbox_refusals_total", "job"))]),
    Panel("Consumers behind", "short",
          [("{{job}} {{stream}}", "max by (job, stream) (petpro_consumer_pending_messages)"),
           ("in hand, {{job}} {{stream}}", "max by (job, stream) (petpro_consumer_unacknowledged_messages)")]),
    Panel("Parked", "short", [("{{job}}", "max by (job) (petpro_parked_messages)")]),
    Panel("Oldest parked", "s", [("{{job}}", "max by (job) (petpro_parked_messages_oldest_seconds)")]),
    Panel("Mails, pushes and SMS", "reqps",
          [("{{channel}} {{outcome}}", _rate("petpro_deliveries_total", "channel, outcome"))]),
    Panel("What waits to be sent", "s",
          [("oldest {{channel}}", "max by (channel) (petpro_deliveries_oldest_seconds)"),
           ("how many {{channel}}", "max by (channel) (petpro_deliveries_waiting)")]),
))  # fmt: skip

DASHBOARDS = (OVERVIEW, SERVICE, SAGAS, MONEY, MESSAGING)


def grafana(dashboard: Dashboard) -> str:
    """The dashboard as Grafana imports it."""
    variables: list[dict[str, Any]] = [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
    if dashboard.of_one_service:
        query = "label_values(petpro_ready, job)"
        variables.append({"name": "job", "type": "query", "datasource": _SOURCE, "query": query, "refresh": 2})
    whole = {
        "uid": f"petpro-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["petpro"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel(number, panel) for number, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(whole, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    place = {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries)
        ],
    }
