"""Runs localstripe on a port of the loopback, in a virtual environment of its own. It is GPL: for tests alone.

It keeps nothing on the disk, and is shown none of the parameters that it is too old to know.
"""

import sys
from typing import Any

from aiohttp import web
from localstripe import resources, server


class _Understood:
    """A call of localstripe without the parameters that it would refuse as unexpected."""

    def __init__(self, call: Any, *unknown: str) -> None:
        self._call = call
        self._unknown = unknown

    def __call__(self, *args: Any, **given: Any) -> Any:
        return self._call(*args, **{name: value for name, value in given.items() if name not in self._unknown})


def main(port: int) -> None:
    intent = resources.PaymentIntent
    intent._api_create = _Understood(intent._api_create, "automatic_payment_methods", "allowed_payment_method_types")
    for listed in (intent, resources.Charge, resources.Refund):
        listed._api_list_all = _Understood(listed._api_list_all, "created")
    resources.Store.dump_to_disk = lambda _store: None
    web.run_app(server.app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
