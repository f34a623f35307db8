"""How Stripe's SDK calls: over aiohttp, as all other adapters do; and what its answers say for sure."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import stripe

from petpro_payment.outcomes import Unknown

NO_MORE = (stripe.InvalidRequestError, stripe.CardError)
"""After these nothing will happen."""
_Json = Mapping[str, Any]


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


async def definite(asking: Awaitable[Any]) -> _Json | Unknown:
    """What Stripe answered, or Unknown. Raises CardError and InvalidRequestError, after which nothing will happen."""
    try:
        answer: _Json = (await asking).to_dict()
    except NO_MORE:
        raise
    except stripe.StripeError as fault:
        return Unknown(f"{type(fault).__name__} {fault.http_status or ''}".strip())
    return answer


async def definite_of(
    listing: Awaitable[Any], reference: str, stands: Callable[[_Json], bool] = bool
) -> _Json | Unknown | None:
    """The newest with our reference that `stands` among all pages of a list, or else the newest of ours, or None.

    Unknown when the list was not whole.
    """
    newest = None
    try:
        async for each in (await listing).auto_paging_iter():
            found: _Json = each.to_dict()
            if (found.get("metadata") or {}).get("reference") == reference:
                if stands(found):
                    return found
                newest = newest or found
    except stripe.StripeError as fault:
        return Unknown(type(fault).__name__)
    return newest
