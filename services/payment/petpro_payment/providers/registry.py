"""The providers that there are. A new one is a file with `open_provider`, and a line here.

A provider's file, with its SDK and its settings, is loaded only when that provider is configured.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module

from petpro_payment.providers.provider import Provider, Providers

FILES = {
    "sandbox": "petpro_payment.providers.sandbox",
    "stripe": "petpro_payment.providers.stripe",
    "xendit": "petpro_payment.providers.xendit",
    "midtrans": "petpro_payment.providers.midtrans",
}

OpenProvider = Callable[[float], AbstractAsyncContextManager[Provider]]
"""Reads its own settings and opens a provider, each step of whose calls takes at most so many seconds."""


@asynccontextmanager
async def open_providers(names: Iterable[str], timeout_seconds: float) -> AsyncIterator[Providers]:
    """The providers of these names. Raises LookupError for one that there is not, and pydantic's ValidationError."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(_opener(name)(timeout_seconds)) for name in names}


def _opener(name: str) -> OpenProvider:
    if name not in FILES:
        raise LookupError(f"there is no payment provider {name!r}; there are {', '.join(FILES)}")
    opener: OpenProvider = import_module(FILES[name]).open_provider
    return opener
