"""A client that costs little, so that the servers are measured: HTTP/2 without TLS, for gRPC and for the gateway.

A client in Python that is built for use takes as much CPU for a call as the server does. This one knows only what a
load needs: small bodies, headers that recur in the connection's compression table (as in any client), answers as bytes.
What it does not know (a GOAWAY, a continued header block) ends the run with an error.
"""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_LARGEST_WINDOW = 2**31 - 1
_WINDOW_LEFT_OPEN = _LARGEST_WINDOW // 2
_TABLE_BYTES, _STATIC_ENTRIES = 4096, 61
_PREFIX = 5  # of a gRPC message: compressed or not, and its length
_OK = (b"grpc-status\x010", b"\x88")  # as a server writes them that may not use a compression table

Headers = Sequence[tuple[str, str]]


class CallFailed(Exception):
    """A call was answered with an error, or not at all."""


@dataclass(frozen=True)
class Reply:
    """What came back: whether it was a success, the body, and the last header block as it came."""

    ok: bool
    body: bytes
    end: bytes

    def message(self) -> bytes:
        """The bytes of the one gRPC message. Raises CallFailed when the call failed."""
        if not self.ok:
            raise CallFailed(self.end.decode("ascii", "replace"))
        return self.body[_PREFIX:]


def grpc_body(message: bytes) -> bytes:
    """A message as the body of a gRPC call."""
    return b"\x00" + struct.pack(">I", len(message)) + message


def grpc_headers(address: str, method: str, token: str = "") -> Headers:
    """The headers of a gRPC call with a deadline of ten seconds; `method` is package.Service/Method."""
    bearer = [("authorization", f"Bearer {token}")] if token else []
    return [
        *(_request_line("POST", address, f"/{method}")),
        *(("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "10S")),
        *bearer,
    ]


def json_headers(verb: str, address: str, path: str, token: str = "") -> Headers:
    """The headers of a call through the gateway."""
    bearer = [("authorization", f"Bearer {token}")] if token else []
    return [*_request_line(verb, address, path), ("content-type", "application/json"), *bearer]


def _request_line(verb: str, address: str, path: str) -> Headers:
    return [(":method", verb), (":scheme", "http"), (":path", path), (":authority", address)]


class Connection(asyncio.Protocol):
    """One connection with any number of calls on it."""

    def __init__(self) -> None:
        self._next_stream = 1
        self._waiting: dict[int, tuple[asyncio.Future[Reply], bytearray, list[bytes]]] = {}
        self._buffer = b""
        self._table: list[tuple[str, str]] = []
        self._table_bytes = 0
        self._written: tuple[Headers | None, bytes] = (None, b"")
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        no_table_for_answers = struct.pack(">HI", 1, 0)
        wide = struct.pack(">HI", 4, _LARGEST_WINDOW)
        settings = _frame(_SETTINGS, 0, 0, no_table_for_answers + wide)
        self._transport.write(_PREFACE + settings + self._widened(_LARGEST_WINDOW - 65535))

    def connection_lost(self, exc: Exception | None) -> None:
        for future, _, _ in self._waiting.values():
            if not future.done():
                future.set_exception(CallFailed(f"the connection ended: {exc}"))

    def close(self) -> None:
        self._transport.close()

    def call(self, headers: Headers, body: bytes, own: Headers = ()) -> "asyncio.Future[Reply]":
        """Sends a call; `headers` recur and are compressed, `own` are this call's. Raises CallFailed when closed."""
        if self._transport.is_closing():
            raise CallFailed("the connection has ended")
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        block = self._recurring(headers) + b"".join([_literal(0, header) for header in own])
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[stream] = (future, bytearray(), [])
        ends = _END_HEADERS if body else _END_HEADERS | _END_STREAM
        sent = _frame(_HEADERS, ends, stream, block)
        self._transport.write(sent + _frame(_DATA, _END_STREAM, stream, body) if body else sent)
        return future

    def _recurring(self, headers: Headers) -> bytes:
        """The same bytes for the same headers, as long as the table stays as it is."""
        if headers is not self._written[0]:
            size = len(self._table)
            block = b"".join([self._compressed(header) for header in headers])
            self._written = (headers if len(self._table) == size else None, block)
        return self._written[1]

    def _compressed(self, header: tuple[str, str]) -> bytes:
        if header in self._table:
            return bytes([0x80 | (_STATIC_ENTRIES + len(self._table) - self._table.index(header))])
        size = len(header[0]) + len(header[1]) + 32
        if self._table_bytes + size > _TABLE_BYTES or len(self._table) == 60:
            return _literal(0, header)
        self._table.append(header)
        self._table_bytes += size
        return _literal(0x40, header)

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data if self._buffer else data, 0
        while len(buffer) - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & _LARGEST_WINDOW
            self._frame_received(kind, flags, stream, buffer[at + 9 : at + 9 + length])
            at += 9 + length
        self._buffer = buffer[at:]

    def _frame_received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_DATA, _HEADERS):
            self._answered(kind, flags, stream, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST and stream in self._waiting:
            self._ended(stream, CallFailed(f"reset, error {payload.hex()}"))
        elif kind in (_GOAWAY, _CONTINUATION):
            self.connection_lost(CallFailed(f"frame {kind}: {payload!r}"))
            self._transport.close()

    def _answered(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if stream not in self._waiting:
            return
        _, body, blocks = self._waiting[stream]
        if kind == _DATA:
            body += payload
            self._make_room(len(payload))
        else:
            blocks.append(payload)
        if flags & _END_STREAM:
            self._ended(stream, None)

    def _ended(self, stream: int, failure: CallFailed | None) -> None:
        future, body, blocks = self._waiting.pop(stream)
        if future.done():
            return
        if failure:
            future.set_exception(failure)
        else:
            future.set_result(Reply(_is_success(blocks), bytes(body), blocks[-1]))

    def _make_room(self, received: int) -> None:
        self._received += received
        if self._received > _WINDOW_LEFT_OPEN:
            self._transport.write(self._widened(self._received))
            self._received = 0

    @staticmethod
    def _widened(by: int) -> bytes:
        return _frame(_WINDOW, 0, 0, struct.pack(">I", by))


async def connect(address: str) -> Connection:
    """A connection to host:port."""
    host, port = address.rsplit(":", 1)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    return connection


def _is_success(blocks: list[bytes]) -> bool:
    """By the gRPC status of the trailers; without one by the HTTP status, which stands first."""
    last = blocks[-1]
    if b"grpc-status" in last:
        return _OK[0] in last
    return blocks[0].lstrip(b"\x20").startswith(_OK[1])


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(how: int, header: tuple[str, str]) -> bytes:
    name, value = header[0].encode(), header[1].encode()
    return bytes([how]) + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    """An HPACK integer with a prefix of seven bits, no Huffman."""
    if number < 127:
        return bytes([number])
    number -= 127
    said = [127]
    while number >= 128:
        said.append(number % 128 | 128)
        number //= 128
    return bytes([*said, number])
