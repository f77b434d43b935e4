"""A socket between a client and its Postgres that can hang, cut, and refuse."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_PORT = 5432


class Proxy:
    """What goes through it; `flowing` is cleared to hang, `refusing` set to refuse."""

    def __init__(self) -> None:
        self.url = ""
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.refusing = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Drop every connection, as a server that dies does."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy before the Postgres of a URL with a socket folder; its URL is `proxy.url`."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    behind = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    proxy = Proxy()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if proxy.refusing:
            writer.transport.abort()
            return
        proxy.connections += 1
        to_server = await asyncio.open_unix_connection(behind)
        ends = (writer, to_server[1])
        proxy._writers.update(ends)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(proxy._pump(reader, to_server[1]))
                pumps.create_task(proxy._pump(to_server[0], writer))
        finally:
            proxy._writers.difference_update(ends)
            for end in ends:
                end.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    # The system's own folder: a socket's path may not be long.
    with tempfile.TemporaryDirectory(prefix="kith-proxy-", dir="/tmp") as folder:
        path = Path(folder) / f".s.PGSQL.{_PORT}"
        server = await asyncio.start_unix_server(accept, path)
        proxy.url = f"{parts.scheme}://{parts.netloc}{parts.path}?host={quote(folder)}&port={_PORT}"
        try:
            yield proxy
        finally:
            server.close()
            proxy.flowing.set()
            proxy.cut()
            await asyncio.gather(*serving, return_exceptions=True)
