"""What each statement of the services has read, as PostgreSQL's auto_explain counts it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from devstack.layout import SERVICES
from devstack.postgres import role_of
from devstack.running import RunningStack

_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_settings": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "0",
    "auto_explain.log_format": "json",
}
_START_ANEW = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'petpro_%'"
_LOGGED = re.compile(r"@petpro_(\w+) LOG:  duration: [^\n]* plan:\n((?:\t[^\n]*\n)+)")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Reading:
    """What one node of a plan has read of a table or an index, while a statement ran."""

    service: str
    statement: str
    of: str
    rows: int
    """With those that it threw away."""
    blocks: int
    looks: int
    """How often the node ran."""

    def __str__(self) -> str:
        amount = f"{self.rows} rows and {self.blocks} blocks in {self.looks} looks"
        return f"{self.service} reads {amount} of {self.of}: {self.statement}"


class Watch:
    """Sees all that services read from now on; all their sessions begin anew, and no table is vacuumed unasked."""

    def __init__(self, stack: RunningStack) -> None:
        self._log = Path(stack.endpoints["parts"]["postgres"]["log"])
        self._begins = 0
        with psycopg.connect(stack.endpoints["postgres"]["dsn"], autocommit=True) as superuser:
            superuser.execute("ALTER SYSTEM SET autovacuum = off")
            superuser.execute("SELECT pg_reload_conf()")
            for service in SERVICES:
                for name, value in _SETTINGS.items():
                    superuser.execute(f"ALTER DATABASE {role_of(service)} SET {name} = '{value}'".encode())
            superuser.execute(_START_ANEW)

    def forget(self) -> None:
        """What was read until now does not count."""
        self._begins = self._log.stat().st_size

    def readings(self) -> Iterator[Reading]:
        with self._log.open("rb") as log:
            log.seek(self._begins)
            told = log.read().decode(errors="replace")
        for service, plan in _LOGGED.findall(told):
            explained = json.loads(plan)
            if explained.get("Settings", {}).get("enable_seqscan") == "off":  # as services have it, and no test
                yield from _readings(service, explained)


def _readings(service: str, explained: dict[str, Any]) -> Iterator[Reading]:
    statement = _BLANKS.sub(" ", explained["Query Text"]).strip()
    for node in _nodes(explained["Plan"]):
        names = [node[name] for name in ("Relation Name", "Index Name") if name in node]
        if names and node["Node Type"] != "ModifyTable":
            thrown_away = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
            rows = round((node["Actual Rows"] + thrown_away) * node["Actual Loops"])
            blocks = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
            yield Reading(service, statement, ".".join(names), rows, blocks, round(node["Actual Loops"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)
