"""What would stand in a service's log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from petpro_common import faults


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged meanwhile, each a dictionary, with faults as the log has them."""
    with capture_logs(processors=[faults.render]) as lines:
        yield lines  # type: ignore[misc]  # its dictionaries are mutable mappings by their type
