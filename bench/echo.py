"""The floors of every RPC: an empty unary call between two processes, bare and in the kit."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import uvloop
from google.protobuf import empty_pb2

from svckit import logs, serve
from svckit.addresses import Bind

SERVICE = "bench.Echo"
METHOD = f"/{SERVICE}/Call"


def add(server: grpc.aio.Server) -> None:
    """Register the method that does nothing."""

    async def call(request: empty_pb2.Empty, _: Any) -> empty_pb2.Empty:
        return request

    handler = grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=empty_pb2.Empty.FromString,
        response_serializer=empty_pb2.Empty.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})]
    )


async def bare() -> None:
    """Serve with nothing around the method; prints the port."""
    server = grpc.aio.server()
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def kit() -> None:
    """Serve as every service is served: interceptor, deadlines, metrics, log; prints the port."""

    async def nothing() -> None:
        """Ready at once."""

    logs.configure("bench", "warning")
    running = await serve.start(
        serve.Service("bench.kith", [], add, prepare=nothing, check=nothing, drain=nothing),
        Bind("127.0.0.1", 0),
    )
    print(running.address.port, flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def echo_call(kind: str) -> AsyncIterator[Any]:
    """A call to an echo server, "bare" or "kit", in a process of its own."""
    # Not the loop's own way: it forks, and grpc has threads here.
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "bench.echo", kind], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(METHOD)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    uvloop.run({"bare": bare, "kit": kit}[sys.argv[1]]())
