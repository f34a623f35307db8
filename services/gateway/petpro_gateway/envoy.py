"""The whole Envoy configuration as data.

client ──► public listener ──► strip, CORS, gRPC-Web, rate limits, tokens, JSON ──► services
                                                          │
                   keys listener (inside the machine) ◄───┘ asks for account's public keys
                            │
                            └──► JSON ──► account

metrics listener, where there is one ──► the admin's statistics and readiness, and nothing else of the admin
traces, where somebody takes them ──► OTLP over gRPC: each request begins one, or goes on in its client's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from petpro_gateway import clusters, errors, filters, routes
from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import Contracts, Method
from petpro_gateway.errors import Config
from petpro_gateway.overload import exempt, overload
from petpro_gateway.pages import pages
from petpro_gateway.policy import Policy, PolicyError, reachable
from petpro_gateway.tree import tree

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_PUBLIC_BUFFER_BYTES = 1 << 15  # of a connection, beside the bodies of its requests
_ADMIN_CLUSTER = "gateway-admin"
_TRACES_CLUSTER = "gateway-traces"


@dataclass(frozen=True)
class Places:
    """Where the gateway listens and where the services are; `tls_folder` has its certificate for them, if any."""

    listen: Address
    admin: Address
    upstreams: Mapping[str, Address]
    metrics: Address | None = None
    tls_folder: str = ""
    traces: Address | None = None

    @property
    def keys(self) -> Config:
        """An abstract socket: it needs no port and no file, and two gateways on one machine never meet in it."""
        return {"pipe": {"path": f"@petpro-gateway-keys/{self.listen.host}:{self.listen.port}"}}


def configuration(contracts: Contracts, policy: Policy, places: Places) -> Config:
    """The bootstrap of one Envoy process. Raises PolicyError when a service has no upstream."""
    methods = reachable(contracts, policy)
    missing = sorted({method.domain for method in methods if not method.is_everywhere} - set(places.upstreams))
    if missing:
        raise PolicyError(f"no --upstream for: {', '.join(missing)}")
    return {
        "node": {"id": "petpro-gateway", "cluster": "petpro-gateway"},
        "admin": {"address": places.admin.socket},
        **overload(policy.limits),
        "static_resources": {
            "listeners": _listeners(contracts, methods, policy, places),
            "clusters": _clusters(methods, policy, places),
        },
    }


def _clusters(methods: Sequence[Method], policy: Policy, places: Places) -> list[Config]:
    limits, upstreams = policy.limits, places.upstreams
    most = dict.fromkeys(upstreams, limits.upstream_requests)
    at = dict(upstreams)
    for method in methods:
        if method.streaming:
            most[method.cluster_at(method.domain)] = limits.upstream_streams
            at[method.cluster_at(method.domain)] = upstreams[method.domain]
    services = [clusters.service(name, at[name], most[name], places.tls_folder) for name in most]
    keys = clusters.inner(filters.JWKS_CLUSTER, places.keys)
    admin = clusters.inner(_ADMIN_CLUSTER, places.admin.socket)
    traces = [clusters.collector(_TRACES_CLUSTER, places.traces)] if places.traces else []
    return [*services, keys, *([admin] if places.metrics else []), *traces]


def _listeners(contracts: Contracts, methods: Sequence[Method], policy: Policy, places: Places) -> list[Config]:
    listeners = [
        _public_listener(contracts, methods, policy, places),
        _keys_listener(contracts, policy, places.keys),
    ]
    return [*listeners, _metrics_listener(places.metrics)] if places.metrics else listeners


def _public_listener(contracts: Contracts, methods: Sequence[Method], policy: Policy, places: Places) -> Config:
    manager = {
        **_manager("public", _public_routes(contracts, methods, policy, places)),
        **_edge(policy),
        **(_tracing(policy) if places.traces else {}),
        "http_filters": filters.public_filters(contracts, methods, policy),
        "local_reply_config": errors.local_reply(),
        "access_log": [_access_log()],
    }
    return _listener("public", places.listen.socket, manager, _PUBLIC_BUFFER_BYTES)


def _public_routes(contracts: Contracts, methods: Sequence[Method], policy: Policy, places: Places) -> Config:
    of_methods = routes.method_routes(methods, places.upstreams, policy)
    host = {
        "name": "petpro",
        "domains": ["*"],
        "matcher": tree([*of_methods, *routes.page_routes(pages(contracts, policy), policy.rate_limits)]),
        "typed_per_filter_config": {"envoy.filters.http.cors": filters.cors_policy(policy.cors)},
    }
    return {"virtual_hosts": [host], "max_direct_response_body_size_bytes": 4 << 20}


def _edge(policy: Policy) -> Config:
    """How a stranger's connection is treated."""
    return {
        "codec_type": "AUTO",
        "server_name": "petpro",
        "use_remote_address": True,
        "xff_num_trusted_hops": policy.trusted_proxies,
        # No address is believed to be ours, so x-envoy-* headers from outside never count.
        "internal_address_config": {"unix_sockets": False},
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "early_header_mutation_extensions": filters.early_mutations(),
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "max_request_headers_kb": 16,
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        "stream_idle_timeout": "60s",
        "drain_timeout": "5s",
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
        },
    }


def _tracing(policy: Policy) -> Config:
    """Spans of the gateway's own; the services behind follow what it decides to record."""
    typed = {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "grpc_service": {"envoy_grpc": {"cluster_name": _TRACES_CLUSTER}, "timeout": "1s"},
        "service_name": "petpro-gateway",
    }
    provider = {"name": "envoy.tracers.opentelemetry", "typed_config": typed}
    return {"tracing": {"provider": provider, "random_sampling": {"value": policy.traced_percent}}}


def _keys_listener(contracts: Contracts, policy: Policy, address: Config) -> Config:
    keys = {
        "name": "keys",
        "domains": ["*"],
        "routes": [{"match": {"path": filters.JWKS_PATH}, "route": {"cluster": "account", "timeout": "2s"}}],
    }
    account = ["petpro.account.v1.AccountService"]
    manager = {
        **_manager("keys", {"virtual_hosts": [keys]}),
        "http_filters": [filters.transcoder(contracts, account, policy), filters.router()],
    }
    return exempt(_listener("keys", address, manager, policy.limits.body_bytes))


def _metrics_listener(listen: Address) -> Config:
    def forward(path: str, inner_path: str) -> Config:
        return {"match": {"path": path}, "route": {"cluster": _ADMIN_CLUSTER, "prefix_rewrite": inner_path}}

    both = [forward("/metrics", "/stats/prometheus?usedonly"), forward("/ready", "/ready")]
    host = {"name": "metrics", "domains": ["*"], "routes": both}
    manager = {**_manager("metrics", {"virtual_hosts": [host]}), "http_filters": [filters.router()]}
    return exempt(_listener("metrics", listen.socket, manager, 1 << 20))


def _listener(name: str, address: Config, manager: Config, buffer_bytes: int) -> Config:
    typed = {"@type": f"type.googleapis.com/{_MANAGER}", **manager}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": typed}]}
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": buffer_bytes,
        "filter_chains": [chain],
    }


def _manager(name: str, route_config: Config) -> Config:
    return {"stat_prefix": name, "route_config": {"name": name, **route_config}}


def _access_log() -> Config:
    """One line of JSON a call. Paths stand without their query; tokens and bodies are nowhere."""
    line = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG)%",
        "route": "%ROUTE_NAME%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "duration_ms": "%DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "upstream": "%UPSTREAM_HOST%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "user_agent": "%REQ(USER-AGENT)%",
        "traceparent": "%REQ(TRACEPARENT)%",
    }
    typed = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"json_format": line},
    }
    return {"name": "envoy.access_loggers.stdout", "typed_config": typed}
