"""What docs/schema-deviations.md says of a difference from the domain document."""

import re
from functools import cache
from pathlib import Path

DEVIATIONS = Path(__file__).parents[2] / "docs" / "schema-deviations.md"
EVERY_SERVICE = "every service"


def has_reason(service: str, name: str, *, added: bool) -> bool:
    """Whether a row names it: in the document's column, or in ours where it is `added`.

    A part is named alone or with its table (`amount`, `bookings.amount`), at the start of what stands in code marks.
    """
    whole = name.partition("(")[0]
    part = whole.partition(".")[2] or whole
    return any(
        re.match(rf"({re.escape(whole)}|{re.escape(part)})(?![\w.])", words)
        for heading in (service, EVERY_SERVICE)
        for words in _named(heading)[added]
    )


@cache
def _named(heading: str) -> tuple[list[str], list[str]]:
    """What stands in code marks below that heading: in the document's column, and in ours."""
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", DEVIATIONS.read_text(), re.MULTILINE | re.DOTALL)
    rows = [line.split("|") for line in found.group(1).splitlines() if line.startswith("|")] if found else []
    document, here = ("".join(row[column] for row in rows) for column in (1, 2))
    return re.findall(r"`([^`]*)`", document), re.findall(r"`([^`]*)`", here)
