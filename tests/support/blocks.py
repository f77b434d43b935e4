"""Reads server-sent events as they come over a real connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import orjson

Block = dict[str, Any]


class Blocks:
    """The blocks of one answer, in order: fields by name, `data` parsed."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, seconds: float = 5.0) -> Block | None:
        """The next block; None where the answer ends."""
        block: Block = {}
        with anyio.fail_after(seconds):
            async for line in self._lines:
                if not line:
                    return block
                name, _, value = line.partition(": ")
                block[name] = orjson.loads(value) if name == "data" else value
        assert not block, "the answer ended inside of a block"
        return None

    async def upto(self, kind: str) -> list[Block]:
        """The blocks up to, and with, one of this kind."""
        found: list[Block] = []
        while (block := await self.next()) is not None:
            found.append(block)
            if block.get("event") == kind:
                break
        return found

    async def rest(self) -> list[Block]:
        """The blocks until the answer ends."""
        found: list[Block] = []
        while (block := await self.next()) is not None:
            found.append(block)
        return found


@asynccontextmanager
async def following(
    url: str, path: str = "/v1/events/stream", *, last_id: int | None = None, **query: Any
) -> AsyncIterator[Blocks]:
    """The blocks of a stream, which has begun."""
    headers = {} if last_id is None else {"last-event-id": str(last_id)}
    async with (
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", path, params=query, headers=headers) as response,
    ):
        if response.status_code != 200:
            await response.aread()
        yield Blocks(response)
