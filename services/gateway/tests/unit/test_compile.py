"""Policy and contracts in, configuration out; and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from pydantic import ValidationError
from typer.testing import CliRunner

from petpro_gateway.__main__ import app
from petpro_gateway.clusters import Address
from petpro_gateway.descriptors import ContractError, Contracts, Method, read_contracts
from petpro_gateway.envoy import Places, configuration
from petpro_gateway.errors import ERRORS
from petpro_gateway.policy import Policy, PolicyError, reachable, read_policy
from petpro_gateway.tree import VARIABLE, tree
from services.gateway.tests.conftest import POLICY
from services.gateway.tests.edge import SERVICES

pytestmark = pytest.mark.unit

PLACES = Places(
    Address("0.0.0.0", 8080),  # noqa: S104 -- only written down here
    Address("127.0.0.1", 9901),
    {name: Address(f"{name}.petpro.svc", 50051) for name in SERVICES},
)


def branches(config: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Known beginnings of paths, and the routes under them."""
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found = manager["route_config"]["virtual_hosts"][0]["matcher"]["matcher_tree"]["prefix_match_map"]["map"]
    return {known: branch["action"]["typed_config"]["routes"] for known, branch in found.items()}


def routes(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Each route once, though it stands under several beginnings."""
    every = [route for under in branches(config).values() for route in under]
    return list({id(route): route for route in every}.values())


def changed_policy(tmp_path: Path, **changes: object) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(POLICY.read_text()), **changes}))
    return file


def test_methods_are_reachable_by_their_binding_or_by_the_policy(contracts: Contracts, policy: Policy) -> None:
    get_user = "petpro.account.v1.AccountService/GetUser"
    assert get_user not in {method.full_name for method in reachable(contracts, policy)}
    opened = policy.model_copy(update={"also_reachable": frozenset({get_user})})
    assert get_user in {method.full_name for method in reachable(contracts, opened)}


def test_every_reachable_method_has_an_http_and_a_grpc_route(contracts: Contracts, policy: Policy) -> None:
    known = [route for route in routes(configuration(contracts, policy, PLACES)) if "typed_per_filter_config" in route]
    by_name = {name: [route for route in known if route["name"] == name] for name in contracts.methods}
    for method in reachable(contracts, policy):
        if not method.is_everywhere:
            assert len(by_name[method.full_name]) == len(method.bindings) + 1
            way = f"{method.domain}-streams" if method.streaming else method.domain
            assert {route["route"]["cluster"] for route in by_name[method.full_name]} == {way}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("petpro.messaging.v1.ParkedMessageService/ListParkedMessages", "/v1/operations/messages/{}"),
        ("petpro.messaging.v1.ParkedMessageService/DiscardParkedMessages", "/v1/operations/messages/{}:discard"),
        ("petpro.personal.v1.PersonalDataService/ExportPersonalData", "/v1/personal-data/{}"),
    ],
)
def test_a_method_of_every_service_has_a_route_to_each_that_its_path_names(
    method: str, path: str, contracts: Contracts, policy: Policy
) -> None:
    found = [each for each in routes(configuration(contracts, policy, PLACES)) if each.get("name") == method]
    ways = {route["match"]["path"]: route["route"]["cluster"] for route in found}
    assert ways == {path.format(name): name for name in SERVICES}


def test_a_path_belongs_to_one_method(contracts: Contracts, policy: Policy) -> None:
    bindings = [(method, binding) for method in reachable(contracts, policy) for binding in method.bindings]
    config = configuration(contracts, policy, PLACES)
    for method, binding in bindings:
        path = re.sub(r"{\w+}", "0195e5b4-8d2a-7c3e-9f10-2b6f4c1d7a55", binding.at("booking").template)
        assert matching(routes(config), binding.verb, path) == {method.full_name}
        under = branches(config)[max((known for known in branches(config) if path.startswith(known)), key=len)]
        assert matching(under, binding.verb, path) == {method.full_name}


def test_few_routes_are_asked_for_any_path(contracts: Contracts, policy: Policy) -> None:
    under = branches(configuration(contracts, policy, PLACES))
    assert {known: len(asked) for known, asked in under.items() if len(asked) > 40} == {}


def test_a_variable_may_begin_like_a_whole_path() -> None:
    """`/v1/users/meena` is a user, though `/v1/users/me` is a path of its own; and whoever is first wins."""
    me = {"match": {"path": "/v1/users/me"}}
    anyone = {"match": {"safe_regex": {"regex": f"/v1/users/{VARIABLE}"}}}
    profile = {"match": {"safe_regex": {"regex": f"/v1/users/{VARIABLE}/sign\\-in"}}}
    everything = {"match": {"prefix": "/"}}
    found = tree([me, anyone, profile, everything])["matcher_tree"]["prefix_match_map"]["map"]
    assert {known: branch["action"]["typed_config"]["routes"] for known, branch in found.items()} == {
        "/v1/users/me": [me, anyone, profile, everything],
        "/v1/users/": [anyone, profile, everything],
        "/": [everything],
    }


def matching(configured: list[dict[str, Any]], verb: str, path: str) -> set[str]:
    found = set()
    for route in configured:
        match = route["match"]
        pattern = match["safe_regex"]["regex"] if "safe_regex" in match else re.escape(match.get("path", "-"))
        headers = {header["name"]: header for header in match.get("headers", [])}
        if "name" in route and re.fullmatch(pattern, path) and headers[":method"]["string_match"].get("exact") == verb:
            found.add(route["name"])
    return found


def test_a_stream_has_no_deadline_and_takes_no_calls_place(contracts: Contracts, policy: Policy) -> None:
    config = configuration(contracts, policy, PLACES)
    listen = "petpro.notification.v1.NotificationService/StreamNotifications"
    found = [route for route in routes(config) if route.get("name") == listen]
    assert len(found) == 2
    for route in found:
        added = [each["header"]["key"] for each in route.get("request_headers_to_add", ())]
        assert "grpc-timeout" not in added
        assert route["route"]["timeout"] == "0s"
        assert route["route"]["max_stream_duration"]["max_stream_duration"] == "300s"
    clusters = {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}
    most = {name: clusters[name]["circuit_breakers"]["thresholds"][0]["max_requests"] for name in PLACES.upstreams}
    assert set(most.values()) == {policy.limits.upstream_requests}
    streams = clusters["notification-streams"]
    assert streams["circuit_breakers"]["thresholds"][0]["max_requests"] == policy.limits.upstream_streams
    of_both = [clusters[name]["load_assignment"]["endpoints"] for name in ("notification", "notification-streams")]
    assert of_both[0] == of_both[1]


def test_a_request_that_is_a_stream_is_refused() -> None:
    method = MethodDescriptorProto(name="Swallow", client_streaming=True)
    service = ServiceDescriptorProto(name="OtherService", method=[method])
    file = FileDescriptorProto(name="other.proto", package="petpro.other.v1", service=[service])
    with pytest.raises(ContractError, match="OtherService/Swallow"):
        read_contracts(FileDescriptorSet(file=[file]).SerializeToString())


def test_names_are_resolved_again_and_addresses_are_not(contracts: Contracts, policy: Policy) -> None:
    places = Places(PLACES.listen, PLACES.admin, {**PLACES.upstreams, "account": Address("10.0.0.7", 50051)})
    clusters = configuration(contracts, policy, places)["static_resources"]["clusters"]
    kinds = {cluster["name"]: cluster["type"] for cluster in clusters}
    assert (kinds["account"], kinds["booking"]) == ("STATIC", "STRICT_DNS")


def test_a_service_without_upstream_is_refused(contracts: Contracts, policy: Policy) -> None:
    with pytest.raises(PolicyError, match="booking, catalog"):
        configuration(
            contracts,
            policy,
            Places(PLACES.listen, PLACES.admin, dict.fromkeys(("account", "payment", "notification"), PLACES.admin)),
        )


def test_a_method_that_no_contract_has_is_refused(contracts: Contracts, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="AccountService/Typo"):
        read_policy(changed_policy(tmp_path, also_reachable=["petpro.account.v1.AccountService/Typo"]), contracts)


def test_a_word_that_the_policy_does_not_know_is_refused(contracts: Contracts, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="publik"):
        read_policy(changed_policy(tmp_path, publik=[]), contracts)


@pytest.mark.parametrize("text", ["8080", "host:", "host:70000", "host:http"])
def test_an_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Address.parse(text)


def test_an_ipv6_address_is_read() -> None:
    assert Address.parse("[::1]:8080") == Address("::1", 8080)


def test_every_error_has_a_status_of_its_own() -> None:
    assert len({error.http_status for error in ERRORS}) == len(ERRORS)


def test_the_policy_that_ships_names_only_what_may_be_public(contracts: Contracts) -> None:
    """A method that changes something is public only for those who cannot have a token."""
    shipped = read_policy(POLICY, contracts)
    methods: list[Method] = [contracts.methods[name] for name in shipped.public]
    writing = {method.name for method in methods if method.bindings[0].verb != "GET"}
    ways_in = {"CreateUser", "CreateToken", "RefreshToken", "RequestPasswordReset", "ResetPassword", "VerifyEmail"}
    assert writing == {*ways_in, "ReceiveWebhook"}


def test_who_may_guess_or_costs_a_hash_has_a_limit_at_each_address(contracts: Contracts) -> None:
    """Strangers with whatever they may write, and whoever is asked for a password."""
    shipped = read_policy(POLICY, contracts)
    of_strangers = {name for name in shipped.public if contracts.methods[name].bindings[0].verb != "GET"}
    of_passwords = {
        f"petpro.account.v1.AccountService/{name}"
        for name in ("CreateUser", "CreateToken", "ChangePassword", "ResetPassword", "EraseCurrentUser")
    }
    assert of_strangers | of_passwords <= shipped.rate_limits.per_address.keys()
    assert {shipped.rate_limits.per_address[name].per_second for name in of_passwords} == {5}


def test_the_commands_write_their_files(tmp_path: Path) -> None:
    upstreams = [word for name in SERVICES for word in ("--upstream", f"{name}=127.0.0.1:50051")]
    places = ["--listen", "127.0.0.1:8080", "--admin", "127.0.0.1:9901", *upstreams]
    made = CliRunner().invoke(
        app, ["envoy", "--policy", str(POLICY), *places, "--output", str(tmp_path / "envoy.yaml")]
    )
    assert made.exit_code == 0, made.output
    assert "static_resources" in yaml.safe_load((tmp_path / "envoy.yaml").read_text())
    made = CliRunner().invoke(app, ["openapi", "--output", str(tmp_path / "openapi.json")])
    assert made.exit_code == 0, made.output
    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"] == "3.1.0"


def test_traces_leave_only_where_somebody_takes_them(contracts: Contracts, policy: Policy) -> None:
    assert "OpenTelemetry" not in json.dumps(configuration(contracts, policy, PLACES))
    taken = replace(PLACES, traces=Address("collector.monitoring", 4317))
    config = configuration(contracts, policy.model_copy(update={"traced_percent": 5}), taken)
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["tracing"]["random_sampling"] == {"value": 5}
    (collector,) = [each for each in config["static_resources"]["clusters"] if each["name"] == "gateway-traces"]
    assert collector["type"] == "STRICT_DNS"


def test_only_strangers_meet_the_limits_on_connections_and_memory(contracts: Contracts, policy: Policy) -> None:
    with_probes = replace(PLACES, metrics=Address("127.0.0.1", 9102))
    listeners = configuration(contracts, policy, with_probes)["static_resources"]["listeners"]
    exempt = {
        each["name"] for each in listeners if each.keys() >= {"ignore_global_conn_limit", "bypass_overload_manager"}
    }
    assert exempt == {"keys", "metrics"}
