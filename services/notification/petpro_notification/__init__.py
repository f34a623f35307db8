"""Tells people what became of their bookings.

The client of NATS loads aiohttp wherever it is installed, nine MiB for a transport that nobody here uses. It is
installed for senders, each of which loads it when it is configured.
"""

import sys

if "aiohttp" not in sys.modules:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # as if it were not installed
    import nats  # noqa: F401

    del sys.modules["aiohttp"]
