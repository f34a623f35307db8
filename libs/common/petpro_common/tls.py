"""TLS between services, and to NATS, both sides proved: a folder with `tls.crt`, `tls.key` and `ca.crt`, as
cert-manager fills it.

Servers look at the folder at each handshake, so that a renewed certificate is used at once. Callers read it at their
start: a process has to be started again before the certificate that it began with ends.
"""

import ssl
from pathlib import Path

import grpc


def server_credentials(folder: str) -> grpc.ServerCredentials:
    """Proves who we are, and takes callers whose certificate the folder's authority has signed. Raises OSError."""
    seen = _read(folder)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        now = _read(folder)
        if now == seen:
            return None
        seen = now
        return _configuration(now)

    first = _configuration(seen)
    return grpc.dynamic_ssl_server_credentials(first, renewed, True)  # type: ignore[arg-type]  # None: as it was


def channel_credentials(folder: str) -> grpc.ChannelCredentials:
    """Proves who we are, and takes servers whose certificate the folder's authority has signed. Raises OSError."""
    key, chain, authority = _read(folder)
    return grpc.ssl_channel_credentials(authority, key, chain)


def client_context(folder: str) -> ssl.SSLContext:
    """The same for connections other than gRPC's. Without a folder: takes those whom the machine itself trusts."""
    found = Path(folder)
    context = ssl.create_default_context(cafile=found / "ca.crt" if folder else None)
    if folder:
        context.load_cert_chain(found / "tls.crt", found / "tls.key")
    return context


def _read(folder: str) -> tuple[bytes, bytes, bytes]:
    found = Path(folder)
    return (found / "tls.key").read_bytes(), (found / "tls.crt").read_bytes(), (found / "ca.crt").read_bytes()


def _configuration(read: tuple[bytes, bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    key, chain, authority = read
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)
