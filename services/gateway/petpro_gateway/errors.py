"""The errors that the gateway itself makes, in the one shape that all errors of PetPro have.

A failed call is answered with google.rpc.Status: a code, a message and details, of which the first is
google.rpc.ErrorInfo with a reason and the domain `gateway.petpro`. Who speaks HTTP reads it as JSON in the body; who
speaks gRPC gets a gRPC status, and the details in `grpc-status-details-bin`.
"""

import base64
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

Config = dict[str, Any]
"""A piece of Envoy configuration, as it will stand in YAML."""

DOMAIN = "gateway.petpro"
CODE = "x-petpro-grpc-status"
"""The response header that holds the code until Envoy's filters have put in one of their own; see `filters`."""


@dataclass(frozen=True)
class GatewayError:
    """One kind of failure."""

    http_status: int
    code: grpc.StatusCode
    reason: str
    message: str
    retry_seconds: int = 0

    @property
    def grpc_code(self) -> grpc.StatusCode:
        """What a gRPC client is told: to it a path is a method."""
        return grpc.StatusCode.UNIMPLEMENTED if self.http_status == 404 else self.code

    @property
    def details(self) -> list[Config]:
        """As JSON, beginning with ErrorInfo."""
        info = {"@type": _type("ErrorInfo"), "reason": self.reason, "domain": DOMAIN}
        retry = {"@type": _type("RetryInfo"), "retry_delay": f"{self.retry_seconds}s"}
        return [info, retry] if self.retry_seconds else [info]

    def details_bin(self) -> str:
        """The whole google.rpc.Status as a value of `grpc-status-details-bin`."""
        status = status_pb2.Status(code=self.grpc_code.value[0], message=self.message)
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN))
        if self.retry_seconds:
            delay = Duration(seconds=self.retry_seconds)
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return base64.b64encode(status.SerializeToString()).decode().rstrip("=")


_C = grpc.StatusCode

ERRORS = (
    GatewayError(400, _C.INVALID_ARGUMENT, "INVALID_REQUEST", "The request cannot be read."),
    GatewayError(401, _C.UNAUTHENTICATED, "UNAUTHENTICATED", "A valid access token is needed."),
    GatewayError(403, _C.PERMISSION_DENIED, "FORBIDDEN", "The caller may not do this."),
    GatewayError(404, _C.NOT_FOUND, "ROUTE_NOT_FOUND", "There is nothing at this path."),
    GatewayError(405, _C.UNIMPLEMENTED, "METHOD_NOT_ALLOWED", "This path has other methods; see Allow."),
    GatewayError(408, _C.DEADLINE_EXCEEDED, "REQUEST_TIMED_OUT", "The request took too long to arrive."),
    GatewayError(413, _C.INVALID_ARGUMENT, "BODY_TOO_LARGE", "The body of the request is too large."),
    GatewayError(426, _C.UNIMPLEMENTED, "HTTP_VERSION_TOO_OLD", "HTTP/1.1 or later is needed."),
    GatewayError(429, _C.RESOURCE_EXHAUSTED, "RATE_LIMITED", "Too many calls.", 1),
    GatewayError(431, _C.INVALID_ARGUMENT, "HEADERS_TOO_LARGE", "Address and headers are too large."),
    GatewayError(500, _C.INTERNAL, "INTERNAL", "A fault of ours; quote X-Request-Id to support."),
    GatewayError(501, _C.UNIMPLEMENTED, "NOT_IMPLEMENTED", "The body may come whole or in chunks only."),
    GatewayError(502, _C.UNAVAILABLE, "UNAVAILABLE", "A service is away; try again later.", 1),
    GatewayError(503, _C.UNAVAILABLE, "UNAVAILABLE", "A service is away; try again later.", 1),
    GatewayError(504, _C.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "A service took too long."),
)

OTHERWISE_SAID = {
    # Account has been away ever since the gateway started, so no token can be checked: no fault of the caller's.
    "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}": 503,
    # A token that is meant for somebody else is simply not a good one.
    "jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}": 401,
}
"""What Envoy's own status does not say well: its details, and the status that does."""

_SAYS_WHY = "response.code_details.contains('transcode_failure') || response.code_details == 'direct_response'"
"""The transcoder and our own routes say what is wrong with a request; Envoy's parser says nothing, or `Bad Request`."""


def local_reply() -> Config:
    """Envoy's `local_reply_config`: the first mapper that fits shapes the answer."""
    by_status = {error.http_status: error for error in ERRORS}
    mappers = []
    for details, status in OTHERWISE_SAID.items():
        pair = _mappers(by_status[status], _fits(f"response.code_details == '{details}'"))
        mappers += [{**mapper, "status_code": status} for mapper in pair]
    said = {"and_filter": {"filters": [_status_is(400), _fits(_SAYS_WHY)]}}
    mappers += _mappers(by_status[400], said, "%LOCAL_REPLY_BODY%")
    for error in ERRORS:
        mappers += _mappers(error, _status_is(error.http_status))
    return {"mappers": mappers}


def _mappers(error: GatewayError, condition: Config, message: str = "") -> list[Config]:
    return [_grpc_mapper(error, condition), _json_mapper(error, condition, message or error.message)]


def _grpc_mapper(error: GatewayError, condition: Config) -> Config:
    return {
        "filter": {"and_filter": {"filters": [condition, _speaks_grpc()]}},
        "body_format_override": {"text_format_source": {"inline_string": error.message}},
        "headers_to_add": [
            header(CODE, str(error.grpc_code.value[0])),
            header("grpc-status-details-bin", error.details_bin()),
        ],
    }


def _json_mapper(error: GatewayError, condition: Config, message: str) -> Config:
    body = {"code": error.code.value[0], "message": message, "details": error.details}
    headers = [header("retry-after", str(error.retry_seconds))] if error.retry_seconds else []
    if error.http_status == 401:  # RFC 9110, 15.5.2
        headers.append(header("www-authenticate", "Bearer"))
    return {
        "filter": condition,
        "body_format_override": {"json_format": body, "content_type": "application/json"},
        "headers_to_add": headers,
    }


def _status_is(status: int) -> Config:
    value = {"default_value": status, "runtime_key": "petpro.unused"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _fits(expression: str) -> Config:
    """Holds when this CEL expression does."""
    type_url = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {"@type": type_url, "expression": expression},
        }
    }


def _speaks_grpc() -> Config:
    """A call that is gRPC now and was not made so by the transcoder, which leaves the path that it found."""
    grpc_now = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
    untouched = {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": False}}}
    return {"and_filter": {"filters": [grpc_now, untouched]}}


def header(key: str, value: str) -> Config:
    """Has Envoy set a header, whether or not there was one."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _type(name: str) -> str:
    return f"type.googleapis.com/google.rpc.{name}"
