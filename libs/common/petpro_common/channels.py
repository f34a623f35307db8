"""Channels by which a service calls others."""

from collections.abc import Sequence
from typing import Any

from grpc import aio

from petpro_common import context, telemetry, tls
from petpro_common.auth import ServiceTokens
from petpro_common.ids import new_id_text


class _Outgoing(aio.UnaryUnaryClientInterceptor):
    """Gives an outgoing call this service's token, the ids of the call in hand, and a deadline."""

    def __init__(self, tokens: ServiceTokens, deadline_seconds: float) -> None:
        self._tokens = tokens
        self._deadline = deadline_seconds

    async def intercept_unary_unary(self, continuation: Any, details: aio.ClientCallDetails, request: Any) -> Any:
        metadata = aio.Metadata(*(details.metadata or ()))
        metadata.add("authorization", f"Bearer {self._tokens.issue()}")
        call = context.current()
        metadata.add("x-request-id", call.request_id if call else new_id_text())
        for key, value in telemetry.trace_headers().items():
            metadata.add(key, value)
        timeout = self._deadline if details.timeout is None else min(details.timeout, self._deadline)
        onward = aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)
        return await continuation(onward, request)


_CLIENT_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", (
        '{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.05s",'
        '"maxBackoff":"0.5s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}'
    )),
)  # fmt: skip


def channel(address: str, tokens: ServiceTokens, deadline_seconds: float = 2.0, *, tls_folder: str = "") -> aio.Channel:
    """A channel to another service. Only for idempotent reads: it tries up to three times when the other is away."""
    outgoing = [_Outgoing(tokens, deadline_seconds)]
    if tls_folder:
        credentials = tls.channel_credentials(tls_folder)
        return aio.secure_channel(address, credentials, options=_CLIENT_OPTIONS, interceptors=outgoing)
    return aio.insecure_channel(address, options=_CLIENT_OPTIONS, interceptors=outgoing)
