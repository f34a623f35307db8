"""How Stripe's SDK calls: over aiohttp, as all other adapters do."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import stripe


class Calls(stripe.AIOHTTPClient):
    """The SDK's calls. They follow nobody elsewhere, and one that breaks off within the answer fails like others."""

    def _get_request_args_kwargs(self, *asked: Any) -> tuple[Any, dict[str, Any]]:
        args, options = super()._get_request_args_kwargs(*asked)
        return args, {**options, "allow_redirects": False}

    async def request_async(self, *asked: Any, **options: Any) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            return await super().request_async(*asked, **options)
        except (aiohttp.ClientError, TimeoutError) as fault:
            raise stripe.APIConnectionError(type(fault).__name__) from fault  # type: ignore[no-untyped-call]
