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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws=ws)
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serve = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if serve.done():
                    serve.result()
                    raise RuntimeError("the app did not start")
                await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await serve
