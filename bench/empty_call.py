"""An empty grpc.aio method, as server or as callers: `python bench/empty_call.py serve | call PORT CALLERS SECONDS`.

Runs on any version of grpcio, in an environment that has only that and uvloop; see `bench/grpc_versions.py`.
The server says its port, and when its input ends the seconds of CPU that its calls took; the callers say how many calls
were answered, in how many seconds, and their own seconds of CPU.
"""

import asyncio
import sys
import time
from typing import Any

import grpc
import uvloop
from grpc import aio

METHOD = "/petpro.bench.Empty/Call"


class Empty(grpc.GenericRpcHandler):
    """Answers every call with nothing."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        async def answer(_request: bytes, _context: Any) -> bytes:
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def serve() -> None:
    """Serves until the input ends."""
    server = aio.server(handlers=[Empty()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    started = time.process_time()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(time.process_time() - started)
    await server.stop(None)


async def call(port: int, callers: int, seconds: float) -> None:
    """Calls in so many loops at once, over one channel."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary(METHOD)
        began, cpu = time.perf_counter(), time.process_time()
        until = began + seconds

        async def loop() -> int:
            calls = 0
            while time.perf_counter() < until:
                await method(b"", timeout=5)
                calls += 1
            return calls

        calls = sum(await asyncio.gather(*(loop() for _ in range(callers))))
        print(calls, time.perf_counter() - began, time.process_time() - cpu)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        uvloop.run(serve())
    else:
        uvloop.run(call(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
