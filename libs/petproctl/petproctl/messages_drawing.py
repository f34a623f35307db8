"""Parked messages as a person reads them: a table of many, one with its redrives."""

from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from petproctl.gateway import Json
from petproctl.saga_drawing import duration, instant


def table(messages: list[Json]) -> Table:
    """One line a message."""
    drawn = Table("name", "subject", "parked", "tries", "redriven", "error")
    drawn.columns[0].no_wrap = True
    for message in messages:
        numbers = (str(message.get("tries", 0)), str(message.get("redrive_count", 0)))
        drawn.add_row(message["name"], message["subject"], _ago(message["parked_at"]), *numbers, Text(message["error"]))
    return drawn


def whole(message: Json) -> Group:
    """One message: why it was set aside, what its envelope says, and what operators did about it."""
    tries, size = message.get("tries", 0), message.get("payload_bytes", 0)
    head = Text(f"{message['name']}  {message['subject']}  {message['message_id']}\n")
    head.append(message["error"], style="red")
    head.append(f"\nparked {_ago(message['parked_at'])} ago after {tries} tries, {size} bytes")
    facts = Table(box=None, show_header=False)
    for name, value in sorted(message.get("facts", {}).items()):
        facts.add_row(name, Text(value))
    redrives = message.get("redrives", [])
    return Group(head, facts, *([_redrives(redrives)] if redrives else []))


def _redrives(redrives: list[Json]) -> Table:
    drawn = Table("redriven", "by", "because", "outcome", "error")
    for redrive in redrives:
        outcome = redrive["outcome"].removeprefix("REDRIVE_OUTCOME_").lower()
        words = (Text(redrive["reason"]), outcome, Text(redrive.get("error", "")))
        drawn.add_row(f"{instant(redrive['at']):%Y-%m-%d %H:%M:%S}", redrive["operator"], *words)
    return drawn


def _ago(at: str) -> str:
    return duration(datetime.now(UTC) - instant(at))
