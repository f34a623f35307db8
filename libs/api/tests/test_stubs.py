"""The published stubs in the hands of another program, a synchronous one too: every RPC is there, typed."""

from importlib import import_module
from types import ModuleType
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

pytestmark = pytest.mark.unit

DOMAINS = ("account", "booking", "catalog", "notification", "payment")


def contract(domain: str) -> tuple[Any, ModuleType]:
    """The descriptor of a domain's contract, and its stubs."""
    messages = import_module(f"petpro.{domain}.v1.{domain}_pb2")
    return messages.DESCRIPTOR, import_module(f"petpro.{domain}.v1.{domain}_pb2_grpc")


ALL_METHODS = [
    (domain, service.name, method)
    for domain in DOMAINS
    for service in contract(domain)[0].services_by_name.values()
    for method in service.methods
]
METHODS = [each for each in ALL_METHODS if not each[2].server_streaming]
STREAMS = [each for each in ALL_METHODS if each[2].server_streaming]


def message_of(domain: str, name: str) -> type[Message]:
    messages: Any = import_module(f"petpro.{domain}.v1.{domain}_pb2")
    kind: type[Message] = getattr(messages, name)
    return kind


@pytest.mark.parametrize(("domain", "service", "method"), METHODS, ids=lambda part: getattr(part, "name", str(part)))
def test_a_call_arrives_at_its_path_and_is_answered_with_its_own_type(domain: str, service: str, method: Any) -> None:
    descriptor, stubs = contract(domain)
    channel = grpc_testing.channel(descriptor.services_by_name.values(), grpc_testing.strict_fake_time(0.0))
    stub = getattr(stubs, f"{service}Stub")(channel)
    request = message_of(domain, method.input_type.name)()
    call = getattr(stub, method.name).future(request, timeout=2, metadata=(("authorization", "Bearer token"),))

    metadata, received, rpc = channel.take_unary_unary(method)
    assert received == request
    assert ("authorization", "Bearer token") in metadata
    reply = message_of(domain, method.output_type.name)()
    rpc.terminate(reply, (), grpc.StatusCode.OK, "")
    assert call.result() == reply


@pytest.mark.parametrize(("domain", "service", "method"), STREAMS, ids=lambda part: getattr(part, "name", str(part)))
def test_a_stream_is_asked_for_once_and_answered_as_often_as_there_is_something(
    domain: str, service: str, method: Any
) -> None:
    descriptor, stubs = contract(domain)
    channel = grpc_testing.channel(descriptor.services_by_name.values(), grpc_testing.strict_fake_time(0.0))
    request = message_of(domain, method.input_type.name)()
    call = getattr(getattr(stubs, f"{service}Stub")(channel), method.name)(request, timeout=2)

    _, received, rpc = channel.take_unary_stream(method)
    assert received == request
    replies = [message_of(domain, method.output_type.name)() for _ in range(2)]
    for reply in replies:
        rpc.send_response(reply)
    rpc.terminate((), grpc.StatusCode.OK, "")
    assert list(call) == replies


def test_there_are_rpcs_to_try() -> None:
    assert len(METHODS) > 40
    assert len(STREAMS) > 0
    assert {domain for domain, _, _ in METHODS} == set(DOMAINS)
