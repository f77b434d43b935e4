"""Runs an ASGI app on a real port of the system's choosing, in the loop of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serving(app: Any, *, websockets: bool = False) -> AsyncIterator[str]:
    """The base URL of the app while the block runs."""
    ws = "websockets-sansio" if websockets else "none"
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws=ws)
    config.load()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        if server.should_exit:
            raise RuntimeError("the app did not start")
        await server.on_tick(0)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await _ended(server)


async def _ended(server: uvicorn.Server) -> None:
    """What uvicorn's own loop does at its end, without its pauses of a tenth of a second."""
    for one in server.servers:
        one.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    while state.connections or state.tasks:
        await asyncio.sleep(0.001)
    for one in server.servers:
        await one.wait_closed()
    await server.lifespan.shutdown()
