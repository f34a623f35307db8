"""The rules and dashboards as they are in the repository, for the tests that hold them against the rest."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devstack.layout import ROOT

FOLDER = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "runbooks"
_LABELS = re.compile(r"\{[^}]*\}|\bby\s*\([^)]*\)")
_METRIC = re.compile(r"\b(?:petpro|envoy|process)_[a-z0-9_]+\b")


@dataclass(frozen=True)
class Alert:
    name: str
    expression: str
    severity: str
    summary: str
    runbook: str


def rule_files() -> list[Path]:
    return sorted((FOLDER / "rules").glob("*.yaml"))


def _rules() -> Iterator[dict[str, Any]]:
    for file in rule_files():
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> list[Alert]:
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
            rule["annotations"]["runbook_url"],
        )
        for rule in _rules()
        if "alert" in rule
    ]


def dashboards() -> dict[str, Any]:
    return {file.stem: json.loads(file.read_text()) for file in sorted((FOLDER / "dashboards").glob("*.json"))}


def expressions() -> list[str]:
    """Every query of a rule or a dashboard."""
    drawn = [
        target["expr"] for board in dashboards().values() for panel in board["panels"] for target in panel["targets"]
    ]
    return [rule["expr"] for rule in _rules()] + drawn


def recordings() -> dict[str, str]:
    """By the name of what a rule records: of what."""
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


def metrics_behind(expression: str) -> set[str]:
    """The metrics that a query reads, also by way of what is recorded. Raises KeyError for an unknown recording."""
    recorded = re.findall(r"\bpetpro:[a-z0-9_:]+", expression)
    return _metrics(expression).union(*(metrics_behind(recordings()[name]) for name in recorded))


def metrics_drawn() -> set[str]:
    """Every metric that a dashboard shows, itself or by what is recorded of it."""
    drawn = [
        target["expr"] for board in dashboards().values() for each in board["panels"] for target in each["targets"]
    ]
    return set[str]().union(*map(metrics_behind, drawn))


def metrics_named() -> set[str]:
    """Every metric that a rule or a dashboard names."""
    return set[str]().union(*map(_metrics, expressions()))


def _metrics(expression: str) -> set[str]:
    return set(_METRIC.findall(_LABELS.sub("", expression)))
