"""The floor of every RPC: an empty unary call between two processes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

METHOD = "/bench.Echo/Call"


async def main() -> None:
    """Serve, and print the port."""

    async def echo(request: bytes, _: Any) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("bench.Echo", {"Call": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


@asynccontextmanager
async def echo_call() -> AsyncIterator[Any]:
    """A call to an echo server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.echo", stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(METHOD)
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
