"""The contracts as plain data: services, methods, HTTP bindings, messages, field rules and all comments.

Read from the descriptor set that `make proto` writes beside the generated stubs.
"""

import importlib.resources
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2, http_pb2  # type: ignore[import-untyped]
from google.api.field_behavior_pb2 import FieldBehavior  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

SERVICE = "service"
"""The variable of a path that names the service which answers."""
_VARIABLE = re.compile(r"{([a-z][a-z0-9_]*)}")


class ContractError(Exception):
    """A contract says something that the gateway cannot serve."""


@dataclass(frozen=True)
class Binding:
    """One google.api.http rule: the HTTP method, the path template and the field that is the body."""

    verb: str
    template: str
    body: str
    """A field's name, `*` for the whole message, or empty."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The request's fields that the path holds, in order."""
        return tuple(_VARIABLE.findall(self.template))

    def at(self, service: str) -> "Binding":
        """The same where the path names this service."""
        return replace(self, template=self.template.replace(f"{{{SERVICE}}}", service))


@dataclass(frozen=True)
class Method:
    """One RPC."""

    service: str
    """With its package, for example `petpro.booking.v1.BookingService`."""
    name: str
    request: str
    response: str
    streaming: bool
    """Whether it is answered by a stream."""
    bindings: tuple[Binding, ...]
    comment: str

    @property
    def full_name(self) -> str:
        """As in a gRPC path, for example `petpro.booking.v1.BookingService/CancelBooking`."""
        return f"{self.service}/{self.name}"

    @property
    def domain(self) -> str:
        """The part of PetPro that answers, for example `booking`."""
        return self.service.split(".")[1]

    def cluster_at(self, service: str) -> str:
        """The way to that service: streams have one of their own, so that they take no call's place."""
        return f"{service}-streams" if self.streaming else service

    @property
    def is_everywhere(self) -> bool:
        """Whether every service answers for itself: then the path names it, and so is told which one is meant."""
        return any(SERVICE in binding.variables for binding in self.bindings)


@dataclass(frozen=True)
class Service:
    name: str
    """With its package."""
    methods: tuple[Method, ...]
    comment: str


@dataclass(frozen=True)
class Field:
    """One field of a message. `rules` are its protovalidate rules; empty when it has none."""

    name: str
    kind: int
    """A FieldDescriptorProto.Type."""
    type_name: str
    """Full name of the message or enum; empty for scalars."""
    repeated: bool
    optional: bool
    choice: str
    """The oneof that it is one of; empty for most."""
    rules: validate_pb2.FieldRules
    comment: str
    is_needed: bool = False
    """Whether whoever makes such a thing must say this; who edits it need not."""
    is_read_only: bool = False
    """Whether it is told in answers alone; what a request says there is ignored."""


@dataclass(frozen=True)
class Message:
    name: str
    """With its package."""
    fields: tuple[Field, ...]
    comment: str
    is_map_entry: bool


@dataclass(frozen=True)
class EnumValue:
    name: str
    comment: str


@dataclass(frozen=True)
class Enum:
    name: str
    """With its package."""
    values: tuple[EnumValue, ...]
    comment: str


@dataclass(frozen=True)
class Contracts:
    """Everything that the gateway needs to know of all contracts."""

    files: tuple[FileDescriptorProto, ...]
    services: tuple[Service, ...]
    messages: dict[str, Message]
    enums: dict[str, Enum]

    @cached_property
    def methods(self) -> dict[str, Method]:
        """All methods by their full names."""
        return {method.full_name: method for service in self.services for method in service.methods}


def read_contracts(descriptor_set: bytes | None = None) -> Contracts:
    """Reads a serialized FileDescriptorSet with comments; PetPro's own unless told otherwise."""
    if descriptor_set is None:
        descriptor_set = (importlib.resources.files("petpro") / "petpro.binpb").read_bytes()
    files = tuple(descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file)
    readers = [_File(file) for file in files]
    return Contracts(
        files=files,
        services=tuple(service for reader in readers for service in reader.services()),
        messages={message.name: message for reader in readers for message in reader.messages()},
        enums={enum.name: enum for reader in readers for enum in reader.enums()},
    )


Path = tuple[int, ...]


class _File:
    """One proto file and the comments in it, which stand apart under the path of what they are about."""

    SERVICE, MESSAGE, ENUM = 6, 4, 5
    """Field numbers in FileDescriptorProto; in descriptors below it they are 2 or 3, 4 and so on."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        locations = file.source_code_info.location
        self._comments = {tuple(place.path): place.leading_comments for place in locations}

    def services(self) -> Iterator[Service]:
        for number, service in enumerate(self._file.service):
            path = (self.SERVICE, number)
            name = f"{self._file.package}.{service.name}"
            methods = tuple(
                self._method(name, method, (*path, 2, place)) for place, method in enumerate(service.method)
            )
            yield Service(name, methods, self._comment(path))

    def messages(self) -> Iterator[Message]:
        yield from self._messages(self._file.message_type, self._file.package, (self.MESSAGE,))

    def enums(self) -> Iterator[Enum]:
        for number, enum in enumerate(self._file.enum_type):
            path = (self.ENUM, number)
            values = tuple(
                EnumValue(value.name, self._comment((*path, 2, place))) for place, value in enumerate(enum.value)
            )
            yield Enum(f"{self._file.package}.{enum.name}", values, self._comment(path))

    def _messages(
        self, messages: Sequence[descriptor_pb2.DescriptorProto], scope: str, parent: Path
    ) -> Iterator[Message]:
        for number, message in enumerate(messages):
            path = (*parent, number)
            name = f"{scope}.{message.name}"
            choices = [choice.name for choice in message.oneof_decl]
            fields = tuple(self._field(field, choices, (*path, 2, place)) for place, field in enumerate(message.field))
            yield Message(name, fields, self._comment(path), message.options.map_entry)
            yield from self._messages(message.nested_type, name, (*path, 3))

    def _field(self, field: FieldDescriptorProto, choices: Sequence[str], path: Path) -> Field:
        behaviours = field.options.Extensions[field_behavior_pb2.field_behavior]
        is_choice = field.HasField("oneof_index") and not field.proto3_optional
        return Field(
            name=field.name,
            kind=field.type,
            type_name=field.type_name.removeprefix("."),
            repeated=field.label == FieldDescriptorProto.LABEL_REPEATED,
            optional=field.proto3_optional,
            choice=choices[field.oneof_index] if is_choice else "",
            rules=field.options.Extensions[validate_pb2.field],
            comment=self._comment(path),
            is_needed=FieldBehavior.REQUIRED in behaviours,
            is_read_only=FieldBehavior.OUTPUT_ONLY in behaviours,
        )

    def _method(self, service: str, method: descriptor_pb2.MethodDescriptorProto, path: Path) -> Method:
        if method.client_streaming:
            raise ContractError(f"a request cannot be a stream: {service}/{method.name}")
        rules = method.options.Extensions
        rule = rules[annotations_pb2.http] if method.options.HasExtension(annotations_pb2.http) else None
        return Method(
            service=service,
            name=method.name,
            request=method.input_type.removeprefix("."),
            response=method.output_type.removeprefix("."),
            streaming=method.server_streaming,
            bindings=tuple(_binding(each) for each in (rule, *rule.additional_bindings)) if rule else (),
            comment=self._comment(path),
        )

    def _comment(self, path: Path) -> str:
        """The text above something, with the lines of a paragraph joined."""
        paragraphs = self._comments.get(path, "").split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).strip()


def _binding(rule: http_pb2.HttpRule) -> Binding:
    verb = rule.WhichOneof("pattern") or ""
    template = getattr(rule, verb, "")
    if verb not in {"get", "post", "put", "patch", "delete"} or rule.response_body:
        raise ContractError(f"the gateway cannot serve this HTTP rule: {rule}")
    if "*" in template or "=" in template:
        raise ContractError(f"the gateway knows only whole segments such as {{pet_id}} in a path: {template}")
    return Binding(verb.upper(), template, rule.body)
