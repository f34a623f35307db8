"""The OpenAPI 3.1 document: every HTTP route with its parameters, bodies, rules, errors and who may call it."""

import json
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from petpro_gateway import schema
from petpro_gateway.descriptors import Binding, ContractError, Contracts, Enum, Field, Message, Method
from petpro_gateway.errors import DOMAIN, ERRORS
from petpro_gateway.policy import Policy, reachable
from petpro_gateway.schema import Schema

_IDEMPOTENCY_FIELD = "request_id"
_RAW_BODY = "google.api.HttpBody"
_ABOUT = """\
Book visits at pet clinics: find a clinic, hold a slot for a pet, pay, be booked, cancel.

**Tokens.** Sign in with `POST /v1/auth/token` and send `Authorization: Bearer <access token>`.

**Again, safely.** Every change whose parameters list it takes the header `Idempotency-Key`. The same key with the same
request returns the stored answer; with another request it is refused with `REQUEST_ID_REUSED`. Send a key of its own
with each `POST /v1/auth/refresh`, which then gives the same refresh token again for a minute; a refresh token that
comes again without its key ends the session.

**Errors** all have one shape, `google.rpc.Status`: look at the `reason` of `google.rpc.ErrorInfo` in `details`.
`google.rpc.BadRequest` lists every field that breaks a rule, and `google.rpc.RetryInfo` says when to try again.

**Pages.** Send `next_page_token` as `page_token`, with the same filters, until it is empty.

**Streams** are server-sent events over HTTP. Errors before the first one come as every error does; afterwards a stream
says itself that it ends and why.

Amounts of money are decimal strings with a currency code. Numbers of 64 bits are strings. Fields of a body that are
unknown, or only read (`readOnly`), are ignored; query parameters that are unknown, or that path or body say, are
refused, and so is an `update_mask` that names what is only read. The same methods are served as gRPC and gRPC-Web on
the same port.
"""


def document(contracts: Contracts, policy: Policy) -> Schema:
    """The document as data, the same for the same contracts and policy."""
    methods = [method for method in reachable(contracts, policy) if method.bindings]
    return {
        "openapi": "3.1.0",
        "info": {"title": "PetPro", "version": "1", "summary": "Booking of pet clinics", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": _tags(contracts, methods),
        "paths": _paths(contracts, policy, methods),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "parameters": {"IdempotencyKey": _idempotency_key()},
            "schemas": {**_schemas(contracts, methods), **_error_schemas(contracts)},
            "responses": {f"Error{status}": _error_response(status) for status in _ALL_ERRORS},
        },
    }


def to_json(value: Schema) -> str:
    """The document as it is served."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _tags(contracts: Contracts, methods: list[Method]) -> list[Schema]:
    used = {method.service for method in methods}
    services = [service for service in contracts.services if service.name in used]
    return [{"name": _short(service.name), "description": service.comment} for service in services]


def _paths(contracts: Contracts, policy: Policy, methods: list[Method]) -> Schema:
    paths: dict[str, Schema] = {}
    for method in methods:
        for number, binding in enumerate(method.bindings):
            operation = _operation(contracts, policy, method, binding)
            operation["operationId"] += str(number + 1) if number else ""
            paths.setdefault(binding.template, {})[binding.verb.lower()] = operation
    return dict(sorted(paths.items()))


def _operation(contracts: Contracts, policy: Policy, method: Method, binding: Binding) -> Schema:
    request = contracts.messages[method.request]
    public = method.full_name in policy.public
    operation: Schema = {
        "operationId": method.name[0].lower() + method.name[1:],
        "tags": [_short(method.service)],
        "summary": _first_sentence(method.comment),
        "description": method.comment,
        "security": [{}, {"bearer": []}] if public else [{"bearer": []}],
        "parameters": _parameters(contracts, request, binding),
        "responses": {"200": _answer(method), **_errors(binding)},
    }
    if binding.body:
        operation["requestBody"] = _body(request, binding)
    return operation


def _parameters(contracts: Contracts, request: Message, binding: Binding) -> list[Schema]:
    fields = {field.name: field for field in request.fields}
    parameters = [_parameter(contracts, fields[name], "path") for name in binding.variables]
    if binding.body != "*":
        parameters += [_parameter(contracts, field, "query") for field in _query_fields(request, binding)]
    if _IDEMPOTENCY_FIELD in fields:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return parameters


def _query_fields(request: Message, binding: Binding) -> Iterator[Field]:
    elsewhere = {*binding.variables, binding.body, _IDEMPOTENCY_FIELD}
    for field in request.fields:
        if field.name in elsewhere:
            continue
        if field.kind == FieldDescriptorProto.TYPE_MESSAGE and field.type_name.startswith("petpro."):
            raise ContractError(f"{request.name}.{field.name}: a message cannot stand in a query")
        yield field


def _parameter(contracts: Contracts, field: Field, place: str) -> Schema:
    described = schema.field_schema(contracts, field)
    text = described.pop("description", "")
    parameter: Schema = {"name": field.name, "in": place, "schema": described}
    if place == "path" or schema.is_required(field):
        parameter["required"] = True
    return {**parameter, "description": text} if text else parameter


def _body(request: Message, binding: Binding) -> Schema:
    if binding.body == "*":
        content: Schema = schema.reference(request.name)
        return {"required": True, "content": {"application/json": {"schema": content}}}
    field = next(each for each in request.fields if each.name == binding.body)
    if field.type_name == _RAW_BODY:
        return {"required": True, "description": field.comment, "content": {"*/*": {"schema": {}}}}
    content = schema.reference(field.type_name)
    return {"required": True, "content": {"application/json": {"schema": content}}}


def _answer(method: Method) -> Schema:
    headers = {"X-Request-Id": {"description": "Names this call in our logs.", "schema": {"type": "string"}}}
    answer = schema.reference(method.response)
    if method.streaming:
        text = "Server-sent events; the `data` of each is one of these as JSON."
        return {"description": text, "headers": headers, "content": {"text/event-stream": {"schema": answer}}}
    return {"description": "Done.", "headers": headers, "content": {"application/json": {"schema": answer}}}


_ALL_ERRORS = {
    400: "The request breaks a rule, or the state of things does not allow it.",
    401: "No token, or one that is malformed, out of date or not ours.",
    403: "The caller may not do this.",
    404: "There is no such thing, or it is not the caller's.",
    409: "It exists already, or the idempotency key was used for another request.",
    413: "The body is too large.",
    429: "Too many calls, or as much as one person may have; try again after RetryInfo.",
    500: "A fault of ours; quote X-Request-Id to support.",
    503: "A part that is needed is away; try again after RetryInfo.",
    504: "It took too long; whether it took effect is not known.",
}


def _errors(binding: Binding) -> Schema:
    never = {413} if not binding.body else set()
    if binding.verb == "GET":
        never.add(409)
    statuses = [status for status in _ALL_ERRORS if status not in never]
    return {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _error_response(status: int) -> Schema:
    response: Schema = {
        "description": _ALL_ERRORS[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    own = next((error for error in ERRORS if error.http_status == status), None)
    if own:
        example = {"code": own.code.value[0], "message": own.message, "details": own.details}
        response["content"]["application/json"]["example"] = example
    if status in (429, 503):
        text = "Seconds to wait; sent by the gateway itself."
        response["headers"] = {"Retry-After": {"description": text, "schema": {"type": "integer"}}}
    return response


def _schemas(contracts: Contracts, methods: list[Method]) -> dict[str, Schema]:
    """Answers and what they hold, whole; requests without the fields that travel in path and header."""
    whole: set[str] = {method.response for method in methods}
    requests: dict[str, Schema] = {}
    for method in methods:
        message = contracts.messages[method.request]
        for binding in method.bindings:
            if binding.body == "*":
                without = {*binding.variables, _IDEMPOTENCY_FIELD}
                requests[schema.component_name(message.name)] = schema.making_schema(contracts, message, without)
        whole |= {field.type_name for field in message.fields if field.type_name.startswith("petpro.")}
    return dict(sorted({**schema.components(contracts, whole), **requests}.items()))


def _error_schemas(contracts: Contracts) -> dict[str, Schema]:
    reasons = {
        schema.component_name(enum.name).replace("ErrorReason", "Reason"): _reasons(enum)
        for enum in contracts.enums.values()
        if enum.name.endswith(".ErrorReason")
    }
    names = [{"$ref": f"#/components/schemas/{name}"} for name in (*sorted(reasons), "gateway.Reason")]
    info = _detail("ErrorInfo", {"reason": {"anyOf": names}, "domain": {"type": "string"}, "metadata": _texts()})
    violation = {"type": "object", "properties": {"field": {"type": "string"}, "description": {"type": "string"}}}
    bad = _detail("BadRequest", {"field_violations": {"type": "array", "items": violation}})
    retry = _detail("RetryInfo", {"retry_delay": {"type": "string", "examples": ["1s"]}})
    return {**reasons, "gateway.Reason": _gateway_reasons(), "Error": _error_schema(info, bad, retry)}


def _error_schema(info: Schema, *others: Schema) -> Schema:
    return {
        "type": "object",
        "description": "google.rpc.Status",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "description": "A google.rpc.Code, for example 5 for NOT_FOUND."},
            "message": {"type": "string", "description": "For people. It may change at any time."},
            "details": {"type": "array", "items": {"anyOf": [info, *others]}},
        },
    }


def _detail(name: str, properties: Schema) -> Schema:
    of_type = {"@type": {"const": f"type.googleapis.com/google.rpc.{name}"}}
    return {"type": "object", "title": name, "required": ["@type"], "properties": {**of_type, **properties}}


def _texts() -> Schema:
    return {"type": "object", "additionalProperties": {"type": "string"}}


def _reasons(enum: Enum) -> Schema:
    values = [(value.name.removeprefix("ERROR_REASON_"), value.comment) for value in enum.values[1:]]
    text = "\n".join([enum.comment, "", *(f"- `{name}`: {comment}" for name, comment in values)])
    return {"type": "string", "enum": [name for name, _ in values], "description": text}


def _gateway_reasons() -> Schema:
    known = {error.reason: error.message for error in ERRORS}
    text = "\n".join([f"Reasons with domain `{DOMAIN}`.", "", *(f"- `{key}`: {known[key]}" for key in known)])
    return {"type": "string", "enum": list(known), "description": text}


def _idempotency_key() -> Schema:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A key of the caller's own making, such as a UUID: the same key never acts twice. "
        "A `request_id` in the body says the same key or none.",
        "schema": {"type": "string", "maxLength": 128, "examples": ["4f0c1f4e-6c1b-4f8e-9a3d-5b8f7d1c2e90"]},
    }


def _short(service: str) -> str:
    return service.rsplit(".", 1)[1]


def _first_sentence(comment: str) -> str:
    return comment.split(". ")[0].split("; ")[0].split("\n")[0].rstrip(".")
