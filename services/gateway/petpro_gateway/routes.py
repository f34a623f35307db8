"""The routes: one for each HTTP binding of a reachable method, one for its gRPC path, and what answers the rest.

A method that every service has is told apart by its HTTP path, which names the service: one route for each. A gRPC path
cannot name one, so over gRPC the gateway does not have these methods.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from petpro_gateway.descriptors import SERVICE, Binding, Method
from petpro_gateway.errors import Config, header
from petpro_gateway.policy import Bucket, Policy, RateLimits
from petpro_gateway.tree import VARIABLE

NEEDS_TOKEN, MAY_HAVE_TOKEN = "token-needed", "token-optional"
_TYPES = "type.googleapis.com/envoy.extensions.filters.http"
_RATE_LIMIT, _BUFFER = "envoy.filters.http.local_ratelimit", "envoy.filters.http.buffer"
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
}
"""Only what has certainly not reached a service is sent again."""

_EVENTS: Config = {
    "request_headers_to_remove": ["grpc-timeout", "grpc-encoding"],
    "response_headers_to_add": [header("cache-control", "no-store"), header("x-accel-buffering", "no")],
}
"""A stream has no deadline, and nobody on its way may keep it back."""


def method_routes(methods: Iterable[Method], services: Iterable[str], policy: Policy) -> list[Config]:
    """Routes to the services, then for each known path an answer to all other HTTP methods."""
    ways = [way for method in methods for way in _ways(method, sorted(services))]
    ways.sort(key=lambda way: bool(way[0].variables))
    # By their pattern, since two templates may name the same variable differently.
    allowed: dict[str, tuple[Binding, list[str]]] = {}
    for binding, _, _ in ways:
        allowed.setdefault(_path_pattern(binding.template), (binding, []))[1].append(binding.verb)
    over_grpc = [method for method in methods if not method.is_everywhere]
    return [
        *(_http_route(binding, method, service, policy) for binding, method, service in ways),
        *(_grpc_route(method, policy) for method in over_grpc),
        preflight_route(),
        *(_said_twice(_path_match(binding), verbs) for binding, verbs in allowed.values()),
        *(_other_verbs(_path_match(binding), verbs) for binding, verbs in allowed.values()),
        *(_other_verbs({"path": f"/{method.full_name}"}, ["POST"]) for method in over_grpc),
    ]


def _ways(method: Method, services: Sequence[str]) -> Iterator[tuple[Binding, Method, str]]:
    """Each HTTP binding with the service that answers: the method's own, or each that the path may name."""
    for binding in method.bindings:
        if SERVICE in binding.variables:
            yield from ((binding.at(service), method, service) for service in services)
        else:
            yield binding, method, method.domain


def preflight_route() -> Config:
    """What a browser asks before it calls. The CORS filter answers all of it, but only on a route to a cluster."""
    asks = [{"name": name, "present_match": True} for name in ("origin", "access-control-request-method")]
    match = {"prefix": "/", "headers": [_verb("OPTIONS"), *asks]}
    return {"name": "preflight", "match": match, "route": {"cluster": "account"}}


def page_routes(pages: dict[str, tuple[str, str, dict[str, str]]], limits: RateLimits) -> Iterator[Config]:
    """Pages that Envoy itself answers: path -> (content type, body, further headers).

    Each stream holds a copy of its page until the client has read it.
    """
    limit = {_RATE_LIMIT: rate_limit(limits.pages, limits.pages_per_address)}
    for path, (content_type, body, headers) in pages.items():
        sent = {"content-type": content_type, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
        yield {
            "name": path,
            "match": {"path": path, "headers": [_verb("GET", "HEAD")]},
            "direct_response": {"status": 200, "body": {"inline_string": body}},
            "typed_per_filter_config": limit,
            "response_headers_to_add": [header(key, value) for key, value in (sent | headers).items()],
        }
        yield _other_verbs({"path": path}, ["GET", "HEAD"])


def _http_route(binding: Binding, method: Method, service: str, policy: Policy) -> Config:
    """The deadline upstream is the route's own timeout; HTTP clients have none of their own."""
    match = {**_path_match(binding), "headers": [_verb(binding.verb), *_query_of_its_own(binding)]}
    if method.streaming:
        return {**_route(match, method, service, policy, _limits_of_stream(method, policy)), **_EVENTS}
    seconds = policy.timeout_seconds(method)
    limits = {"timeout": f"{seconds:g}s"}
    return {
        **_route(match, method, service, policy, limits),
        "request_headers_to_add": [header("grpc-timeout", f"{round(seconds * 1000)}m")],
        "request_headers_to_remove": ["grpc-encoding"],
    }


def _grpc_route(method: Method, policy: Policy) -> Config:
    """For gRPC and gRPC-Web, both told by their content type. A client's own shorter deadline counts.

    What they say of trailers does not: a service that cannot read it would refuse the calls of others too.
    """
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    default = {
        "header": {"key": "grpc-timeout", "value": f"{round(policy.timeout_seconds(method) * 1000)}m"},
        "append_action": "ADD_IF_ABSENT",
    }
    match = {"path": f"/{method.full_name}", "headers": [_verb("POST"), grpc]}
    route = _route(match, method, method.domain, policy, _limits_of_stream(method, policy))
    # The services refuse what is too large, with the status that gRPC has for it; the buffer has none.
    rules = {**route["typed_per_filter_config"], _BUFFER: _buffer(disabled=True)}
    return {
        **route,
        "request_headers_to_add": [header("te", "trailers"), *([] if method.streaming else [default])],
        "typed_per_filter_config": rules,
    }


def _limits_of_stream(method: Method, policy: Policy) -> Config:
    """For all that may have more than one answer, as every call over gRPC may for Envoy."""
    seconds = f"{policy.timeout_seconds(method):g}s"
    return {
        "timeout": "0s",
        "max_stream_duration": {"max_stream_duration": seconds, "grpc_timeout_header_max": seconds},
    }


def _route(match: Config, method: Method, service: str, policy: Policy, limits: Config) -> Config:
    rules: Config = {"envoy.filters.http.jwt_authn": _token_rule(method, policy)}
    if method.full_name in policy.public:
        rules[_BUFFER] = _buffer(buffer={"max_request_bytes": policy.limits.public_body_bytes})
    bucket = policy.rate_limits.per_address.get(method.full_name)
    if bucket:
        rules[_RATE_LIMIT] = rate_limit(policy.rate_limits.everything, bucket)
    return {
        "name": method.full_name,
        "match": match,
        "route": {"cluster": method.cluster_at(service), "retry_policy": _RETRIES, **limits},
        "typed_per_filter_config": rules,
    }


def _buffer(**rule: object) -> Config:
    return {"@type": f"{_TYPES}.buffer.v3.BufferPerRoute", **rule}


def _token_rule(method: Method, policy: Policy) -> Config:
    rule = MAY_HAVE_TOKEN if method.full_name in policy.public else NEEDS_TOKEN
    return {"@type": f"{_TYPES}.jwt_authn.v3.PerRouteConfig", "requirement_name": rule}


def rate_limit(everything: Bucket, per_address: Bucket | None = None) -> Config:
    """Configuration of the local rate limit: one bucket for all, and perhaps one for each client address."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config: Config = {
        "@type": f"{_TYPES}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "rate_limit",
        "token_bucket": _bucket(everything),
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limited_as_resource_exhausted": True,
    }
    if per_address:
        address = {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}
        entry = {"entries": [{"key": "masked_remote_address"}], "token_bucket": _bucket(per_address)}
        config["descriptors"] = [entry]
        config["rate_limits"] = [{"actions": [{"masked_remote_address": address}]}]
        config["max_dynamic_descriptors"] = 10_000
    return config


def _bucket(bucket: Bucket) -> Config:
    return {"max_tokens": bucket.burst, "tokens_per_fill": bucket.per_second, "fill_interval": "1s"}


def _other_verbs(path: Config, verbs: list[str]) -> Config:
    """405 for whatever comes at a known path in another way."""
    return {
        "match": path,
        "direct_response": {"status": 405},
        "response_headers_to_add": [header("allow", ", ".join(sorted(verbs)))],
    }


def _said_twice(path: Config, verbs: list[str]) -> Config:
    """400 for a known path and method whose query says what path or body say."""
    told = "What the path or the body says cannot be said in the query."
    return {
        "match": {**path, "headers": [_verb(*verbs)]},
        "direct_response": {"status": 400, "body": {"inline_string": told}},
    }


def _query_of_its_own(binding: Binding) -> list[Config]:
    """Holds when no parameter of the query is a field that path or body fill: the transcoder would take the query's.

    It understands names with %XX too, and nobody writes them so who means well.
    """
    filled = [*binding.variables, *filter(None, [binding.body])]
    if not filled:
        return []
    names = "|".join(sorted({spelling for field in filled for spelling in (field, _camel(field))}))
    taken = r"\C+" if binding.body == "*" else rf"(\C*&)?([^=&]*%\C*|({names})([.=&]\C*)?)"
    said = {"safe_regex": {"regex": rf"[^?]*\?{taken}"}}
    return [{"name": ":path", "string_match": said, "invert_match": True}]


def _camel(field: str) -> str:
    return re.sub("_(.)", lambda after: after[1].upper(), field)


def _path_match(binding: Binding) -> Config:
    if binding.variables:
        return {"safe_regex": {"regex": _path_pattern(binding.template)}}
    return {"path": binding.template}


def _path_pattern(template: str) -> str:
    return "".join(VARIABLE if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", template))


def _verb(*verbs: str) -> Config:
    match = {"exact": verbs[0]} if len(verbs) == 1 else {"safe_regex": {"regex": "|".join(verbs)}}
    return {"name": ":method", "string_match": match}
