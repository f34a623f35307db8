"""The HTTP filters of the public listener, in the order in which a request meets them."""

import base64
import re
from collections.abc import Sequence

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2, status_pb2

from petpro_gateway.descriptors import Contracts, Method
from petpro_gateway.errors import CODE, Config, header
from petpro_gateway.policy import Cors, Policy, Tokens
from petpro_gateway.routes import MAY_HAVE_TOKEN, NEEDS_TOKEN, rate_limit

HEALTH_PATH = "/healthz"
JWKS_PATH = "/.well-known/jwks.json"
JWKS_CLUSTER = "gateway-keys"
_TYPES = "type.googleapis.com/envoy.extensions.filters.http"
_NOT_FROM_OUTSIDE = ("x-petpro-", "x-envoy-", "x-forwarded-host", "x-original-", "x-real-ip", "forwarded")
_NOT_FOR_SERVICES: Sequence[Config] = (
    {"prefix": "grpc-"},
    {"suffix": "-bin"},
    {"safe_regex": {"regex": "[^:].*[^a-z0-9_.-].*|[^:a-z0-9_.-].*"}},
)


def public_filters(contracts: Contracts, methods: Sequence[Method], policy: Policy) -> list[Config]:
    """Strip, CORS, gRPC-Web, health, what was left unread, rate limits, tokens, body limit, JSON, router."""
    return [
        _filter("header_mutation", "HeaderMutation", {"mutations": {**_only_ours(), **_our_code()}}),
        _filter("cors", "Cors"),
        _filter("grpc_web", "GrpcWeb"),
        _health(),
        _filter("custom_response", "CustomResponse", {"custom_response_matcher": {"matcher_list": _left_unread()}}),
        {
            "name": "envoy.filters.http.local_ratelimit",
            "typed_config": rate_limit(policy.rate_limits.everything),
        },
        _filter("jwt_authn", "JwtAuthentication", _tokens(policy.tokens)),
        _filter("buffer", "Buffer", {"max_request_bytes": policy.limits.body_bytes}),
        transcoder(contracts, sorted({method.service for method in methods}), policy),
        router(),
    ]


def cors_policy(cors: Cors) -> Config:
    """Which web pages may call, with which headers; for the virtual host."""
    sent = "authorization,content-type,idempotency-key,x-request-id,traceparent,grpc-timeout,x-grpc-web,x-user-agent"
    return {
        "@type": f"{_TYPES}.cors.v3.CorsPolicy",
        "allow_origin_string_match": [_origin(origin) for origin in cors.origins],
        "allow_methods": "GET,POST,PATCH,DELETE",
        "allow_headers": sent,
        "expose_headers": "x-request-id,retry-after,grpc-status,grpc-message,grpc-status-details-bin",
        "max_age": "7200",
        "forward_not_matching_preflights": False,
    }


def transcoder(contracts: Contracts, services: Sequence[str], policy: Policy) -> Config:
    """JSON on the outside, gRPC on the inside."""
    config = {
        "proto_descriptor_bin": base64.b64encode(_descriptor_set(contracts)).decode(),
        "services": list(services),
        "match_incoming_request_route": True,
        "convert_grpc_status": True,
        # As browsers and most HTTP clients write a space in a query.
        "query_param_unescape_plus": True,
        "print_options": {
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": True,
            "stream_sse_style_delimited": True,
        },
        "request_validation_options": {
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        "max_request_body_size": policy.limits.body_bytes,
        "max_response_body_size": policy.limits.response_bytes,
    }
    return _filter("grpc_json_transcoder", "GrpcJsonTranscoder", config)


def router() -> Config:
    return _filter("router", "Router", {"suppress_envoy_headers": True})


def _only_ours() -> Config:
    """Headers that only we may set are removed from what comes in. Of trailers, which no contract has, none stays."""
    return {
        "request_mutations": [_removed({"prefix": name, "ignore_case": True}) for name in _NOT_FROM_OUTSIDE],
        "request_trailers_mutations": [_removed({"safe_regex": {"regex": ".*"}})],
    }


def _our_code() -> Config:
    """Done last of all: Envoy chooses a code by the HTTP status, which over gRPC-Web calls a deadline UNAVAILABLE."""
    return {"response_mutations": [{"append": header("grpc-status", f"%RESP({CODE})%")}, {"remove": CODE}]}


def early_mutations() -> list[Config]:
    """What is done before a request gets its id and its deadline.

    A client's own id is dropped, and ours takes its place, unless it can be passed on as gRPC metadata, which are
    printable ASCII, and is no longer than 128 characters. Their deadline is dropped unless it is one: a service that
    cannot read it would refuse the calls of others too, which come over the same connection.
    Of gRPC's other headers a known encoding stays. Binary metadata and names that gRPC does not have do not: what it
    cannot read it breaks off, and the gateway would take the service for away.
    """
    given = "request.headers['{}']"
    request_id, timeout, encoding = map(given.format, ("x-request-id", "grpc-timeout", "grpc-encoding"))
    fit = {
        "x-request-id": f"size({request_id}) <= 128 && {request_id}.matches('^[ -~]+$')",
        "grpc-timeout": f"{timeout}.matches('^[0-9]{{1,8}}[HMSmun]$')",
        "grpc-encoding": f"{encoding}.matches('^(identity|gzip|deflate)$')",
    }
    mutations = [
        *(step for name, rule in fit.items() for step in _put_aside(name, rule)),
        *(_removed(matcher) for matcher in _NOT_FOR_SERVICES),
        *(step for name in fit for step in _put_back(name)),
    ]
    kind = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    typed = {"@type": f"type.googleapis.com/{kind}", "mutations": mutations}
    return [{"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": typed}]


def _put_aside(name: str, rule: str) -> list[Config]:
    """Where the CEL expression holds, under a name that nobody else can have set; an empty value changes no header."""
    kept = f"x-petpro-kept-{name}"
    return [
        {"remove": kept},
        {"append": header(kept, f"%CEL({rule} ? request.headers['{name}'] : '')%")},
        {"remove": name},
    ]


def _put_back(name: str) -> list[Config]:
    kept = f"x-petpro-kept-{name}"
    return [{"append": header(name, f"%REQ({kept})%")}, {"remove": kept}]


def _removed(matcher: Config) -> Config:
    """Removes every header whose name fits."""
    return {"remove_on_match": {"key_matcher": matcher}}


def _health() -> Config:
    """For load balancers and probes: 200, or 503 while the gateway drains."""
    match = [{"name": ":path", "string_match": {"exact": HEALTH_PATH}}]
    return _filter("health_check", "HealthCheck", {"pass_through_mode": False, "headers": match})


def _left_unread() -> Config:
    """What a service that has more than it can do never read: the gRPC library says CANCELLED, without details."""
    status = {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput"}
    kind = "envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy"
    policy = {"@type": f"type.googleapis.com/{kind}", "status_code": 503}
    is_cancelled = {"input": {"name": "status", "typed_config": status}, "value_match": {"exact": "499"}}
    return {
        "matchers": [
            {
                "predicate": {"single_predicate": is_cancelled},
                "on_match": {"action": {"name": "unavailable", "typed_config": policy}},
            }
        ]
    }


def _tokens(tokens: Tokens) -> Config:
    needed = {"requires_any": {"requirements": [{"provider_name": name} for name in ("people", "people_before")]}}
    optional = {"requires_any": {"requirements": [*needed["requires_any"]["requirements"], {"allow_missing": {}}]}}
    return {
        "providers": {
            "people": _people(tokens, tokens.refresh_keys_seconds),
            # Envoy keeps keys no longer than until it would fetch them again. Those of before let people go on while
            # account is away; what they let through of a key that was withdrawn the services refuse.
            "people_before": _people(tokens, tokens.keep_keys_seconds),
        },
        "requirement_map": {NEEDS_TOKEN: needed, MAY_HAVE_TOKEN: optional},
        "bypass_cors_preflight": True,
        "strip_failure_response": True,
    }


def _people(tokens: Tokens, refresh_keys_seconds: int) -> Config:
    """Whose tokens are taken, with keys that are fetched every so many seconds."""
    remote = {
        "http_uri": {"uri": f"http://{JWKS_CLUSTER}{JWKS_PATH}", "cluster": JWKS_CLUSTER, "timeout": "2s"},
        # A refresh every N seconds is a cache of N + 5 seconds: Envoy refreshes five seconds before the end.
        "cache_duration": f"{refresh_keys_seconds + 5}s",
        # The keys come through this very process, so it must not wait for them before it listens.
        "async_fetch": {"fast_listener": True, "failed_refetch_duration": "0.5s"},
        "retry_policy": {"num_retries": 2, "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
    }
    return {
        "issuer": tokens.issuer,
        "audiences": [tokens.audience],
        "remote_jwks": remote,
        "forward": True,
        # Named, so that a token in the query string is not looked for. It stands after the scheme, which Envoy would
        # take in one spelling alone; services refuse all schemes but Bearer, in any.
        "from_headers": [{"name": "authorization", "value_prefix": " "}],
        "require_expiration": True,
        "clock_skew_seconds": tokens.clock_skew_seconds,
        "jwt_cache_config": {"jwt_cache_size": tokens.remembered},
    }


def _origin(origin: str) -> Config:
    if "*" not in origin:
        return {"exact": origin}
    return {"safe_regex": {"regex": "[A-Za-z0-9.:-]+".join(re.escape(part) for part in origin.split("*"))}}


def _descriptor_set(contracts: Contracts) -> bytes:
    """Our contracts without comments, and the details that errors may carry."""
    files = {file.name: file for file in _with_imports(error_details_pb2.DESCRIPTOR)}
    files |= {file.name: file for file in _with_imports(status_pb2.DESCRIPTOR)}
    for file in contracts.files:
        files[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString())
        files[file.name].ClearField("source_code_info")
    return descriptor_pb2.FileDescriptorSet(file=_imports_first(files)).SerializeToString(deterministic=True)


def _with_imports(file: FileDescriptor) -> list[descriptor_pb2.FileDescriptorProto]:
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    return [each for imported in file.dependencies for each in _with_imports(imported)] + [proto]


def _imports_first(
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def place(name: str) -> None:
        if name not in ordered:
            for imported in files[name].dependency:
                place(imported)
            ordered[name] = files[name]

    for name in sorted(files):
        place(name)
    return list(ordered.values())


def _filter(name: str, message: str, config: Config | None = None) -> Config:
    typed = {"@type": f"{_TYPES}.{name}.v3.{message}", **(config or {})}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}
