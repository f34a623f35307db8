"""Wires between parts: TCP proxies that a test can cut. A cut wire is silent, as one whose packets are lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devstack.layout import SERVICES, Layout
from devstack.ports import Ports
from devstack.postgres import role_of

_CHUNK = 1 << 16


class Wire:
    """From one part to another. Made by `laid`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._is_whole.clear()

    def mend(self, *, breaking: bool) -> None:
        """Things pass again; with `breaking` the connections of before are reset."""
        if breaking:
            for end in self._ends:
                end.transport.abort()
        self._is_whole.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._is_whole.wait()
            there = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                self._ends |= {writer, there[1]}
                await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
            finally:
                self._ends -= {writer, there[1]}
                there[1].close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._is_whole.wait()
                writer.write(chunk)
                await writer.drain()
        if writer.can_write_eof() and not writer.transport.is_closing():
            writer.write_eof()


def _plan() -> dict[str, tuple[str, str, str, str]]:
    """Name of the wire: the part that connects, its setting, what the setting says of the port, the server's port."""
    plan = {}
    for part in SERVICES:
        prefix = f"PETPRO_{part.upper()}"
        database = f"postgresql://{role_of(part)}@127.0.0.1:{{}}/{role_of(part)}"
        plan[f"{part}-postgres"] = (part, f"{prefix}_DATABASE_URL", database, "postgres")
        plan[f"{part}-nats"] = (part, f"{prefix}_NATS_URL", "nats://127.0.0.1:{}", "nats")
        if part != "account":
            plan[f"{part}-account"] = (part, f"{prefix}_ACCOUNT_ADDRESS", "127.0.0.1:{}", "account.grpc")
    plan["booking-catalog"] = ("booking", "PETPRO_BOOKING_CATALOG_ADDRESS", "127.0.0.1:{}", "catalog.grpc")
    plan["payment-sandbox"] = ("payment", "PETPRO_PAYMENT_SANDBOX_URL", "http://127.0.0.1:{}", "sandbox")
    plan["notification-mail"] = ("notification", "PETPRO_NOTIFICATION_SMTP_PORT", "{}", "mail")
    webhooks = "http://127.0.0.1:{}/v1/webhooks/sandbox"
    plan["sandbox-gateway"] = ("sandbox", "PETPRO_SANDBOX_WEBHOOK_URL", webhooks, "gateway")
    return plan


PLAN = _plan()
FRONTS = {f"{part}-callers": part for part in SERVICES}
"""Between a service and everybody who calls it: the gateway, and other services."""


@dataclass
class Wiring:
    """The wires of one stack by name, and the settings by which its parts use them."""

    run: Path
    ports: Ports
    servers: AsyncExitStack
    wires: dict[str, Wire] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)

    async def lay(self) -> None:
        """All but the fronts, whose ports the stack must find free when it starts."""
        for name, (part, setting, says, server) in PLAN.items():
            port = await self._listen(name, self.ports.of(server), 0)
            self.settings.setdefault(part, {})[setting] = says.format(port)
        for part in FRONTS.values():
            behind = self.ports.address(f"{part}.behind")
            self.settings.setdefault(part, {})[f"PETPRO_{part.upper()}_GRPC_ADDRESS"] = behind
            self.ports.of(f"{part}.grpc")

    async def lay_fronts(self) -> None:
        """Once the stack has taken its ports, and before anybody can be ready."""
        while not Layout(self.run).description.exists():
            await asyncio.sleep(0.05)
        for name, part in FRONTS.items():
            await self._listen(name, self.ports.of(f"{part}.behind"), self.ports.of(f"{part}.grpc"))

    async def _listen(self, name: str, target: int, port: int) -> int:
        self.wires[name] = Wire(target)
        listening = await asyncio.start_server(self.wires[name].carry, "127.0.0.1", port)
        await self.servers.enter_async_context(listening)
        return int(listening.sockets[0].getsockname()[1])


@asynccontextmanager
async def laid(run: Path) -> AsyncIterator[Wiring]:
    """Wires for the stack that will run in that folder."""
    Layout(run).prepare()
    async with AsyncExitStack() as servers:
        wiring = Wiring(run, Ports.for_new_stack(Layout(run).ports), servers)
        await wiring.lay()
        yield wiring
