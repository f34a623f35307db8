"""What keeps strangers from ending the process: how many connections it takes, and how much memory.

A stream holds what its client has sent and not finished, or asked for and not read. What one may hold is bounded, by
the limits on bodies and headers; how many there are at once is not, so memory is looked at twenty times a second:

    three fifths  of HTTP/2, the streams that hold most are reset, a thousand a second at the most
    four fifths   new requests are answered 503
    the end       short of what the container may take, since free memory goes back to the system only little by little

The listeners within the machine and for probes know of none of it (`exempt`): a busy gateway is not a dead one.
"""

from petpro_gateway.errors import Config
from petpro_gateway.policy import Limits

_MONITORS, _TYPES = "envoy.resource_monitors", "type.googleapis.com/envoy.extensions.resource_monitors"
_HEAP = f"{_MONITORS}.fixed_heap"


def overload(limits: Limits) -> Config:
    """The bootstrap's parts about memory and connections."""
    connections = {
        "@type": f"{_TYPES}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": limits.connections,
    }
    heap = {"@type": f"{_TYPES}.fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": limits.memory_bytes}
    manager = {
        "refresh_interval": "0.05s",
        "resource_monitors": [
            {"name": f"{_MONITORS}.global_downstream_max_connections", "typed_config": connections},
            {"name": _HEAP, "typed_config": heap},
        ],
        "actions": [
            _action("reset_high_memory_stream", {"scaled": {"scaling_threshold": 0.6, "saturation_threshold": 0.9}}),
            _action("shrink_heap", {"threshold": {"value": 0.6}}),
            _action("stop_accepting_requests", {"threshold": {"value": 0.8}}),
        ],
        # Streams that hold 16 KiB and more are known, and may be reset.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 14},
    }
    release = {"bytes_to_release": 16 << 20, "memory_release_interval": "1s"}
    return {"overload_manager": manager, "memory_allocator_manager": release}


def exempt(listener: Config) -> Config:
    """The listener, answering however many connections and however much memory others take."""
    return {**listener, "ignore_global_conn_limit": True, "bypass_overload_manager": True}


def _action(name: str, trigger: Config) -> Config:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **trigger}]}
