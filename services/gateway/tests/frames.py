"""HTTP/2 by hand, for what no client library sends."""

import struct


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def text(said: str) -> bytes:
    """A string of HPACK, between 127 and 16,510 characters long or shorter than that."""
    more = len(said) - 127
    length = bytes([len(said)]) if more < 0 else bytes([127, more % 128 + 128, more // 128])
    return length + said.encode()
