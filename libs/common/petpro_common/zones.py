"""Time zones by the rules of the package `tzdata`, which the lock pins: all processes of a release have the same.

`zoneinfo` by itself reads the machine's files first, whatever their age, and the package only where these lack a zone.
"""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

RULES: str = tzdata.IANA_VERSION
"""The release of IANA's database, such as `2026f`; in the order of text a later one comes after."""


@cache
def names() -> frozenset[str]:
    """Every zone that has rules."""
    return frozenset((files(tzdata) / "zones").read_text().split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises KeyError."""
    if name not in names():
        raise KeyError(name)
    with (files(tzdata) / "zoneinfo" / name).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)
