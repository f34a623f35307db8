"""JSON schemas (2020-12) of messages and enums, with the field rules of the contracts."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from buf.validate.validate_pb2 import FieldRules
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Proto

from petpro_gateway.descriptors import Contracts, Enum, Field, Message

Schema = dict[str, Any]

_SCALARS: Mapping[int, Schema] = {
    Proto.TYPE_STRING: {"type": "string"},
    Proto.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Proto.TYPE_BOOL: {"type": "boolean"},
    Proto.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Proto.TYPE_FLOAT: {"type": "number", "format": "float"},
    Proto.TYPE_INT32: {"type": "integer", "format": "int32"},
    Proto.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    # 64 bits do not fit into the numbers of JavaScript, so JSON has them as strings.
    Proto.TYPE_INT64: {"type": "string", "format": "int64"},
    Proto.TYPE_UINT64: {"type": "string", "format": "uint64"},
}

_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time", "examples": ["2026-03-02T02:00:00Z"]},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+([.][0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Field names, parted by commas; at most 50."},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
    "google.protobuf.Struct": {"type": "object"},
}

_EXAMPLE = re.compile(r"[Ff]or example \"?([^\s\",]+?)\"?(?:[.,;]\s|[.,;]?$)")
_AN_ID = "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55"


def reference(full_name: str) -> Schema:
    """A pointer to the component of a message or enum."""
    return {"$ref": f"#/components/schemas/{component_name(full_name)}"}


def component_name(full_name: str) -> str:
    """`petpro.booking.v1.Slot` -> `booking.Slot`."""
    _, domain, *_, name = full_name.split(".")
    return f"{domain}.{name}"


def components(contracts: Contracts, roots: Collection[str]) -> dict[str, Schema]:
    """The schemas of all messages and enums that can be reached from the messages named `roots`."""
    found: dict[str, Schema] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if component_name(name) in found:
            continue
        if name in contracts.enums:
            found[component_name(name)] = _enum_schema(contracts.enums[name])
            continue
        message = contracts.messages[name]
        found[component_name(name)] = message_schema(contracts, message)
        waiting += _named_types(contracts, message)
    return dict(sorted(found.items()))


def message_schema(contracts: Contracts, message: Message, without: Collection[str] = ()) -> Schema:
    """A message as a JSON object, perhaps without some of its fields."""
    fields = [field for field in message.fields if field.name not in without]
    schema: Schema = {
        "type": "object",
        "properties": {field.name: field_schema(contracts, field) for field in fields},
    }
    required = [field.name for field in fields if is_required(field)]
    if required:
        schema["required"] = required
    choices = [{"required": [field.name]} for field in fields if field.choice]
    if choices:
        schema["oneOf"] = choices
    return _described(schema, message.comment)


def making_schema(contracts: Contracts, message: Message, without: Collection[str]) -> Schema:
    """As `message_schema`, for a request that makes the things in it: these have all that such a thing must have."""
    schema = message_schema(contracts, message, without)
    for field in message.fields:
        made = contracts.messages.get(field.type_name)
        needed = [each for each in made.fields if each.is_needed] if made else []
        if needed:
            filled = {each.name: {"minLength": 1} for each in needed if each.kind == Proto.TYPE_STRING}
            whole = {"required": [each.name for each in needed], "properties": filled}
            schema["properties"][field.name] = {"allOf": [schema["properties"][field.name], whole]}
    return schema


def field_schema(contracts: Contracts, field: Field) -> Schema:
    """One field with its rules, its comment and the example that the comment gives."""
    schema = _value_schema(contracts, field)
    example = _EXAMPLE.search(field.comment)
    if example and schema.get("type") == "string":
        schema = {**schema, "examples": [example[1]]}
    if field.is_read_only:
        schema = {**schema, "readOnly": True}
    return _described(schema, field.comment)


def is_required(field: Field) -> bool:
    """Whether the rules refuse the field's absence, which for scalars is their zero."""
    rules = field.rules
    if rules.required:
        return True
    kind = rules.WhichOneof("type")
    if field.optional or kind is None or rules.ignore:
        return False
    mine = getattr(rules, kind)
    if kind == "string":
        refused = bool(mine.pattern) and not re.search(mine.pattern, "")
        return bool(mine.min_len) or mine.WhichOneof("well_known") == "uuid" or refused
    if kind == "repeated":
        return bool(mine.min_items)
    return _least(mine) > 0 if hasattr(mine, "gte") else False


def _least(numbers: Any) -> float:
    bound = numbers.WhichOneof("greater_than")
    if bound == "gt":
        return float(numbers.gt) + 1e-9
    return float(numbers.gte) if bound == "gte" else 0.0


def _value_schema(contracts: Contracts, field: Field) -> Schema:
    entry = contracts.messages.get(field.type_name)
    if entry and entry.is_map_entry:
        pairs = {"type": "object", "additionalProperties": field_schema(contracts, entry.fields[1])}
        return {**pairs, **_rules_of(field.rules)}
    rules = field.rules
    if field.repeated:
        items = {**_single(field), **_rules_of(rules.repeated.items)}
        return {"type": "array", "items": items, **_rules_of(rules)}
    return {**_single(field), **_rules_of(rules)}


def _single(field: Field) -> Schema:
    if not field.type_name:
        return dict(_SCALARS[field.kind])
    return dict(_WELL_KNOWN.get(field.type_name) or reference(field.type_name))


def _rules_of(rules: FieldRules) -> Schema:
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    translate = _TRANSLATIONS.get(kind, _number_rules)
    return translate(getattr(rules, kind))


def _string_rules(rules: Any) -> Schema:
    known: Schema = {}
    if rules.min_len:
        known["minLength"] = rules.min_len
    if rules.max_len:
        known["maxLength"] = rules.max_len
    if rules.pattern:
        known["pattern"] = rules.pattern
    match rules.WhichOneof("well_known"):
        case "uuid":
            known |= {"format": "uuid", "examples": [_AN_ID]}
        case "email" | "uri" | "hostname" as text_format:
            known["format"] = text_format
    return known


def _repeated_rules(rules: Any) -> Schema:
    known = {"minItems": rules.min_items, "maxItems": rules.max_items, "uniqueItems": rules.unique}
    return {key: value for key, value in known.items() if value}


def _map_rules(rules: Any) -> Schema:
    keys = _rules_of(rules.keys)
    known = {"minProperties": rules.min_pairs, "maxProperties": rules.max_pairs, "propertyNames": keys}
    return {key: value for key, value in known.items() if value}


def _number_rules(rules: Any) -> Schema:
    known: Schema = {}
    names = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
    for group in ("greater_than", "less_than"):
        bound = rules.WhichOneof(group)
        if bound:
            known[names[bound]] = getattr(rules, bound)
    return known


def _no_rules(_: Any) -> Schema:
    return {}


_TRANSLATIONS: Mapping[str, Callable[[Any], Schema]] = {
    "string": _string_rules,
    "repeated": _repeated_rules,
    "map": _map_rules,
    **dict.fromkeys(("enum", "bool", "bytes", "any", "duration", "timestamp", "field_mask"), _no_rules),
}


def _enum_schema(enum: Enum) -> Schema:
    said = [f"- `{value.name}`: {value.comment}" for value in enum.values if value.comment]
    text = "\n".join([*([enum.comment, ""] if enum.comment and said else [enum.comment]), *said])
    return _described({"type": "string", "enum": [value.name for value in enum.values]}, text.strip())


def _named_types(contracts: Contracts, message: Message) -> list[str]:
    names = []
    for field in message.fields:
        entry = contracts.messages.get(field.type_name)
        if entry and entry.is_map_entry:
            names += _named_types(contracts, entry)
        elif field.type_name and not field.type_name.startswith("google."):
            names.append(field.type_name)
    return names


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text} if text else schema
