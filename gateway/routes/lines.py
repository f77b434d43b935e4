"""NDJSON in, NDJSON out: one result line for each line, in order, in bounded memory.

What has arrived is taken as one batch; nothing waits for more. While the client does not
read its results, no more of its lines are read.
"""

from collections.abc import Awaitable, Callable, Sequence

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/x-ndjson"
MOST_LINES = 500
# A message of the largest size, with every character escaped, is not larger.
LINE_BYTES = 512 << 10


class LineSplitter:
    """Cuts a stream of bytes into lines; one that is too long comes as None."""

    def __init__(self, most_bytes: int = LINE_BYTES) -> None:
        self._most = most_bytes
        self._rest = bytearray()
        self._overflows = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that this chunk completes."""
        *complete, rest = chunk.split(b"\n")
        lines: list[bytes | None] = []
        for part in complete:
            self._append(part)
            lines.append(self._take())
        self._append(rest)
        return lines

    def end(self) -> list[bytes | None]:
        """The last line, if it had no end of its own."""
        return [self._take()] if self._rest or self._overflows else []

    def _append(self, part: bytes) -> None:
        if self._overflows or len(self._rest) + len(part) > self._most:
            self._overflows = True
            self._rest.clear()
        else:
            self._rest += part

    def _take(self) -> bytes | None:
        line = None if self._overflows else bytes(self._rest)
        self._overflows = False
        self._rest.clear()
        return line


# Given lines and the number of the first, the result of each.
Process = Callable[[Sequence[bytes | None], int], Awaitable[Sequence[object]]]


class LineExchange(Response):
    """An answer that is written while the request is read."""

    media_type = MEDIA_TYPE

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        splitter = LineSplitter()
        number = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            lines = splitter.feed(message.get("body", b""))
            if not more:
                lines += splitter.end()
            for start in range(0, len(lines), MOST_LINES):
                part = lines[start : start + MOST_LINES]
                results = await self._process(part, number)
                number += len(part)
                body = b"".join(orjson.dumps(result) + b"\n" for result in results)
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
