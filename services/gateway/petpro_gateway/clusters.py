"""The clusters: the services behind the gateway, and the gateway's own inner addresses."""

import ipaddress
from dataclasses import dataclass

from petpro_gateway.errors import Config

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True)
class Address:
    """Where something listens: a host name or IP address, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`HOST:PORT`, an IPv6 address in brackets. Raises ValueError for anything else."""
        host, _, port = text.rpartition(":")
        if not host or not 0 < int(port) < 65536:
            raise ValueError(f"not HOST:PORT: {text}")
        return cls(host.strip("[]"), int(port))

    @property
    def is_name(self) -> bool:
        """A name is asked of DNS again and again; an IP address never changes."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    @property
    def socket(self) -> Config:
        return {"socket_address": {"address": self.host, "port_value": self.port}}


def service(name: str, address: Address, most_requests: int, tls_folder: str = "") -> Config:
    """A service of PetPro, over HTTP/2: in clear text, or with the certificates of `tls_folder` on both sides."""
    threshold = {
        "max_connections": 1024,
        "max_pending_requests": most_requests,
        "max_requests": most_requests,
        "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
    }
    return {
        **_cluster(name, address.socket),
        "type": "STRICT_DNS" if address.is_name else "STATIC",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http2()},
        "circuit_breakers": {"thresholds": [threshold]},
        "outlier_detection": _outlier_detection(),
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}},
        **({"transport_socket": _tls(address, tls_folder)} if tls_folder else {}),
    }


def inner(name: str, address: Config) -> Config:
    """Something in the gateway's own process or beside it, over HTTP/1.1."""
    return {**_cluster(name, address), "type": "STATIC"}


def collector(name: str, address: Address) -> Config:
    """Who takes traces, over gRPC in clear text."""
    return {
        **_cluster(name, address.socket),
        "type": "STRICT_DNS" if address.is_name else "STATIC",
        "dns_lookup_family": "V4_PREFERRED",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http2()},
    }


def _cluster(name: str, address: Config) -> Config:
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
    }


def _tls(address: Address, folder: str) -> Config:
    """Proves the gateway to the service, and the service to the gateway by the name that it is asked under."""
    name = {"san_type": "DNS" if address.is_name else "IP_ADDRESS", "matcher": {"exact": address.host}}
    own = {
        "certificate_chain": {"filename": f"{folder}/tls.crt"},
        "private_key": {"filename": f"{folder}/tls.key"},
    }
    authority = {"trusted_ca": {"filename": f"{folder}/ca.crt"}, "match_typed_subject_alt_names": [name]}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({"sni": address.host} if address.is_name else {}),
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificates": [own],
                "validation_context": authority,
            },
        },
    }


def _http2() -> Config:
    keepalive = {"interval": "20s", "timeout": "5s"}
    return {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
    }


def _outlier_detection() -> Config:
    """A replica that cannot be reached, or says UNAVAILABLE again and again, rests; never more than half of them."""
    return {
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "interval": "5s",
        "base_ejection_time": "5s",
        "max_ejection_time": "60s",
        "max_ejection_percent": 50,
    }
