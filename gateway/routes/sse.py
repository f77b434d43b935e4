"""Server-sent events: one block for each event, under the position from which to go on.

Events have the block type `event`, whatever their own type is: that is in the data, and could be
`error` or `caught_up` as well.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress

import orjson
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import rendering
from gateway.errors import problem_of
from gateway.flows.following import Step
from gateway.live import Live
from svckit.errors import Unavailable

MEDIA_TYPE = "text/event-stream"
# How long an answer waits for what may yet be an error, before it begins.
FIRST_SECONDS = 5.0
CHUNK_BYTES = 32 << 10
# A client that does not read is not waited for when all is to end.
FAREWELL_SECONDS = 0.5

SENT = Counter("kith_http_stream_events_total", "Events sent over streams.")

_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-cache"),
    # nginx would hold the answer back.
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """An answer of steps as they come. While the client does not read, nothing more is read."""

    media_type = MEDIA_TYPE

    def __init__(self, live: Live, kind: str, steps: AsyncIterator[Step]) -> None:
        super().__init__()
        self._live = live
        self._kind = kind
        self._steps = steps
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Raises what goes wrong before the first byte; then it is an answer like any other.
        await self._live.run(self._kind, self._send_all(send), receive)
        if not self._live.is_stopping:
            return
        if not self._has_begun:
            raise Unavailable("the gateway is stopping")
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._end(send, _come_back())

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._steps) as steps:  # type: ignore[type-var]
            first = asyncio.ensure_future(anext(steps))
            try:
                await asyncio.wait({first}, timeout=FIRST_SECONDS)
                if first.done():
                    first.result()
                await self._begin(send)
                await self._send_steps(send, first, steps)
            except Unavailable:
                if not self._has_begun:
                    raise
                await self._end(send, _come_back())
            except Exception as error:
                if not self._has_begun:
                    raise
                await self._end(send, _error(error))
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)

    async def _begin(self, send: Send) -> None:
        self._has_begun = True
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})

    async def _send_steps(
        self, send: Send, first: asyncio.Future[Step], steps: AsyncIterator[Step]
    ) -> None:
        step = await first
        while True:
            for chunk in _chunks(step):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                # A long history must not keep others from their turn.
                await asyncio.sleep(0)
            SENT.inc(len(step.events))
            step = await anext(steps)

    async def _end(self, send: Send, last: bytes) -> None:
        await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _chunks(step: Step) -> Iterator[bytes]:
    """The blocks of a step, some at a time, so that few are held for a client that is slow."""
    chunk = bytearray()
    for event in step.events:
        # What is told late must not take a client back.
        position = max(event.position, step.told)
        data = orjson.dumps(rendering.event(event))
        chunk += b"id: %d\nevent: event\ndata: %b\n\n" % (position, data)
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if step.is_caught_up:
        chunk += b"id: %d\nevent: caught_up\ndata: {}\n\n" % step.position
    elif not step.events:
        chunk += b"id: %d\n\n" % step.position
    if chunk:
        yield bytes(chunk)


def _error(error: Exception) -> bytes:
    return b"event: error\ndata: %b\n\n" % orjson.dumps(problem_of(error).body())


def _come_back() -> bytes:
    """After how many milliseconds to connect again; not all clients at once."""
    return b"retry: %d\n\n" % random.randint(1000, 3000)
