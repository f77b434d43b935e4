"""Whether a process serves; as a command, for containers: `python -m svckit.healthcheck`.

Its arguments are the protocol, `grpc` or `http`, and the address that the process binds to.
"""

import asyncio
import http.client
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.addresses import Bind

CALL_SECONDS = 2.0


async def serves_grpc(address: Bind) -> bool:
    """Whether a gRPC server says that it is serving (`grpc.health.v1`)."""
    async with grpc.aio.insecure_channel(str(address)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type has no methods
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def serves_http(address: Bind) -> bool:
    """Whether an HTTP server says that it is ready: 200 to `GET /readyz`."""
    return await asyncio.to_thread(_is_ready, address)


def _is_ready(address: Bind) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=CALL_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


PROTOCOLS = {"grpc": serves_grpc, "http": serves_http}


def main(protocol: str, address: str) -> int:
    """The exit status: 0 if the process serves, 1 if not."""
    return 0 if asyncio.run(PROTOCOLS[protocol](Bind.parse(address).reachable)) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
