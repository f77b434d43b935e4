"""Stands in for a process of Kith: binds, announces itself, is healthy, ends on SIGTERM.

python -m tests.kithctl.stand_in NAME grpc|http|broken
"""

import asyncio
import json
import os
import signal
import sys

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from svckit.addresses import Bind, announce


async def serve_grpc(bind: Bind) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port(str(bind))
    await server.start()
    return server, port


async def serve_http(bind: Bind) -> tuple[asyncio.Server, int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        told = {name: value for name, value in os.environ.items() if name.startswith("KITH_")}
        body = json.dumps(told).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, bind.host, bind.port)
    return server, server.sockets[0].getsockname()[1]


async def main() -> None:
    name, kind = sys.argv[1:]
    if kind == "broken":
        print(f"{name}: KITH_COLOUR: blue is not a colour")
        sys.exit(2)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bind = Bind.parse(os.environ[f"KITH_{name.upper()}_BIND"])
    server, port = await (serve_grpc(bind) if kind == "grpc" else serve_http(bind))
    announce(Bind(bind.host, port))
    print(f"{name} listens, database {os.environ.get(f'KITH_{name.upper()}_DATABASE_URL')}")
    await stop.wait()
    print(f"{name} stops")
    if isinstance(server, asyncio.Server):
        server.close()
    else:
        await server.stop(1)


if __name__ == "__main__":
    asyncio.run(main())
