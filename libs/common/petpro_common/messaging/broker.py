"""The connection to NATS: kept for ever, made again whenever it breaks, and the streams with it."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import nats
import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from petpro_common import tls
from petpro_common.faults import told
from petpro_common.messaging.publisher import Publisher, Taken
from petpro_common.messaging.subjects import STREAMS
from petpro_common.seldom import Seldom

DUPLICATE_WINDOW_SECONDS = 120
MAX_AGE_SECONDS = 7 * 24 * 3600  # as long as outboxes keep what was published: who is away for less misses nothing
REQUEST_SECONDS = 5.0
_CONNECT_SECONDS = 2
_PING_SECONDS = 10
_RETRY_SECONDS = 0.5
_HANGS_SECONDS = 15.0  # without a connection

_log = structlog.get_logger()


class Broker:
    """One connection of a service, as the NATS user of that name. It never gives up reconnecting.

    `replicas`: on how many servers of a cluster the streams that it makes are kept.

    `reconnects`: how often the connection has broken, counted before there is another.

    `url`: `nats://` in clear text; `tls://` by TLS from the first byte, with the certificate in `tls_folder` (see
    `tls`), which is read at the start.
    """

    def __init__(self, service: str, url: str, password: str, replicas: int = 1, *, tls_folder: str = "") -> None:
        self.service = service
        self._url = url
        self._password = password
        self._replicas = replicas
        self._tls_folder = tls_folder
        self._client = Client()
        self._publisher = Publisher(self._client)
        self._connected = asyncio.Event()
        self._connected_at = float("-inf")
        self._seldom = Seldom()
        self.reconnects = 0

    @property
    def client(self) -> Client:
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=REQUEST_SECONDS)

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def has_connected(self) -> bool:
        """Whether there has been a connection with streams behind it."""
        return self._connected.is_set()

    async def until_connected(self) -> None:
        """Returns as soon as there has been a connection with streams behind it; the outbox bridges times without."""
        await self._connected.wait()

    async def run(self) -> None:
        """Connects, and again whenever the client has given up, or hangs.

        It gives up when the server ends it with an error, and need not say so. It hangs for ever when it stumbles while
        it connects again, or over what it cannot send to a server that is gone.
        """
        while True:
            try:
                await self.connect()
                while not self._is_lost():
                    await asyncio.sleep(_RETRY_SECONDS)
            except (ConnectionClosedError, RuntimeError, ValueError) as fault:  # it stumbles over a bad greeting
                self._seldom.warning("nats", cause=told(fault))
                await asyncio.sleep(_RETRY_SECONDS)
            self.reconnects += 1
            _log.error("nats connection is lost; connecting anew")
            await _end(self._client)

    async def connect(self) -> None:
        """Connects, waiting for the server as long as it takes, and makes the streams. Raises as `ensure_streams`."""
        self._client = await nats.connect(
            self._url,
            user=self.service,
            password=self._password,
            name=self.service,
            inbox_prefix=f"_INBOX_{self.service}".encode(),
            connect_timeout=_CONNECT_SECONDS,
            reconnect_time_wait=0.25,
            max_reconnect_attempts=-1,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=2,
            flush_timeout=REQUEST_SECONDS,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            **self._secured(),
        )
        self._connected_at = time.monotonic()
        self._publisher = Publisher(self._client)
        await self._publisher.start()
        await self.ensure_streams()
        self._connected.set()

    def _secured(self) -> dict[str, Any]:
        """The client's options for TLS.

        The handshake comes first: else the client would take a server's word, in clear text, that none is needed, and
        send its password. And the name is that of the URL, since a cluster tells the addresses of its other servers.
        """
        to = urlsplit(self._url)
        if to.scheme != "tls":
            return {}
        return {
            "tls": tls.client_context(self._tls_folder),
            "tls_hostname": to.hostname,
            "tls_handshake_first": True,
        }

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Taken:
        """Publishes a message and waits until the broker has it. Raises as `Publisher.publish`."""
        return await self._publisher.publish(subject, payload, headers, REQUEST_SECONDS)

    async def ensure_streams(self) -> None:
        """Makes the streams that are not there: at first start, and after the broker has forgotten everything.

        Raises ConnectionClosedError when the connection is lost for good meanwhile.
        """
        for name, subjects in STREAMS.items():
            while not await self._has_stream(name, subjects):
                if self._is_lost():
                    raise ConnectionClosedError
                await asyncio.sleep(_RETRY_SECONDS)

    async def _has_stream(self, name: str, subjects: str) -> bool:
        """Whether the stream is there, making it if it is not; False when the broker does not answer yet."""
        try:
            try:
                await self.jetstream.stream_info(name)
            except NotFoundError:
                await self.jetstream.add_stream(_stream_config(name, subjects, self._replicas))
        except (NatsError, TimeoutError) as fault:
            self._seldom.warning("stream is not ready", stream=name, cause=told(fault))
            return False
        return True

    async def close(self) -> None:
        """Sends what is still in the buffer and hangs up."""
        await _end(self._client)

    def _is_lost(self) -> bool:
        """Whether the client has closed, or has been without a connection for so long that it may hang."""
        if self._client.is_connected:
            self._connected_at = time.monotonic()
        return self._client.is_closed or time.monotonic() - self._connected_at > _HANGS_SECONDS

    async def _on_error(self, fault: Exception) -> None:
        self._seldom.warning("nats", cause=told(fault))

    async def _on_disconnected(self) -> None:
        self.reconnects += 1
        _log.warning("nats disconnected", times=self.reconnects)

    async def _on_reconnected(self) -> None:
        _log.info("nats reconnected")


async def _end(client: Client) -> None:
    """Hangs up, whatever the client stumbles over: it writes to what is closed, or waits for what it cancelled."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            ending = client.drain() if client.is_connected else client.close()
            await asyncio.gather(ending, return_exceptions=True)


def _stream_config(name: str, subjects: str, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subjects],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        discard=DiscardPolicy.OLD,
        max_age=MAX_AGE_SECONDS,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    )
