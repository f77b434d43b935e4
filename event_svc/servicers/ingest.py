"""IngestEvents: long streams of requests into the intake, answered in order as they commit."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from event_svc import metrics
from event_svc.domain import DOMAIN
from event_svc.domain.log import MOST_EVENTS, Append
from event_svc.intake import Intake, Outcome
from event_svc.wire import log as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc
from svckit.batcher import MOST_BYTES, Size
from svckit.errors import InvalidRequest, Unavailable

# What a stream, and all streams of a process, may hold before they read no further: the one
# of what is not answered, the other of what is not logged yet.
OF_EACH = Size(items=4 * MOST_EVENTS, bytes=4 * MOST_BYTES)
OF_ALL = Size(items=50 * MOST_EVENTS, bytes=64 * MOST_BYTES)


class Ingest:
    """The streams of one process."""

    def __init__(self, intake: Intake, *, each: Size = OF_EACH, together: Size = OF_ALL) -> None:
        self._intake = intake
        self._each = each
        self._together = _Window(together)
        self._streams: set[_Stream] = set()
        self._is_ending = False
        metrics.INGEST_HELD.set_function(lambda: self.held.items)

    @property
    def held(self) -> Size:
        """What was read and is not logged yet."""
        return self._together.held

    def end(self) -> None:
        """Read nothing more; streams end once what they have read is answered."""
        self._is_ending = True
        for stream in self._streams:
            stream.end()

    async def IngestEvents(
        self, requests: AsyncIterator[pb.IngestEventsRequest], context: rpc.Context
    ) -> AsyncIterator[pb.IngestEventsResponse]:
        if self._is_ending:
            raise Unavailable("the service is stopping")
        stream = _Stream(self._intake, requests, _Window(self._each), self._together)
        self._streams.add(stream)
        try:
            async for answer in stream.answers():
                yield answer
        finally:
            self._streams.discard(stream)
            await stream.close()


@dataclass(frozen=True, slots=True)
class _Read:
    """A request of a stream, or what is wrong with it; `size` is what it takes of a window."""

    sequence: int
    request: Append | InvalidRequest
    size: Size


class _Stream:
    """One stream: a task reads, another logs, and whoever iterates over `answers` sends.

    While a call to the intake is under way, the next requests are read, and then logged by one
    call together. One call at a time keeps the stream's requests in order.
    """

    def __init__(
        self,
        intake: Intake,
        requests: AsyncIterator[pb.IngestEventsRequest],
        own: "_Window",
        together: "_Window",
    ) -> None:
        self._intake = intake
        self._own = own
        self._together = together
        self._is_ending = False
        # None ends either; callbacks put it in, since a task may be cancelled before it starts.
        self._read: asyncio.Queue[_Read | None] = asyncio.Queue()
        self._logged: asyncio.Queue[tuple[_Read, Outcome] | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read_all(requests), name="ingest: read")
        self._reading.add_done_callback(lambda _: self._read.put_nowait(None))
        self._logging = asyncio.create_task(self._log_all(), name="ingest: log")
        self._logging.add_done_callback(lambda _: self._logged.put_nowait(None))

    async def answers(self) -> AsyncIterator[pb.IngestEventsResponse]:
        """What to answer, in order; raises what ended the stream, after all that was read."""
        while (logged := await self._logged.get()) is not None:
            read, outcome = logged
            yield _answer(read.sequence, outcome)
            self._own.give(read.size)
        await self._logging
        if self._is_ending and self._reading.cancelled():
            raise Unavailable("the service is stopping")
        await self._reading

    def end(self) -> None:
        """Read nothing more."""
        self._is_ending = True
        self._reading.cancel()

    async def close(self) -> None:
        """Stop at once. What was handed to the intake is logged, whoever waits for it."""
        self._reading.cancel()
        self._logging.cancel()
        await asyncio.gather(self._reading, self._logging, return_exceptions=True)
        while not self._read.empty():
            if read := self._read.get_nowait():
                self._together.give(read.size)

    async def _read_all(self, requests: AsyncIterator[pb.IngestEventsRequest]) -> None:
        last = 0
        async for message in requests:
            if message.sequence <= last:
                raise InvalidRequest("sequence", f"must be larger than {last}")
            last = message.sequence
            read = _parsed(message)
            await self._own.take(read.size)
            await self._together.take(read.size)
            self._read.put_nowait(read)

    async def _log_all(self) -> None:
        async for batch in self._batches():
            sound = [read.request for read in batch if isinstance(read.request, Append)]
            try:
                outcomes = iter(await self._intake.log_each(sound))
            finally:
                for read in batch:
                    self._together.give(read.size)
            for read in batch:
                error = read.request if isinstance(read.request, InvalidRequest) else None
                self._logged.put_nowait((read, error or next(outcomes)))

    async def _batches(self) -> AsyncIterator[list[_Read]]:
        """What was read meanwhile, up to about what a call may hold."""
        is_over = False
        while not is_over:
            batch: list[_Read] = []
            items = size = 0
            while not batch or (
                items < MOST_EVENTS and size < MOST_BYTES and not self._read.empty()
            ):
                read = await self._read.get()
                if read is None:
                    is_over = True
                    break
                batch.append(read)
                items += read.size.items
                size += read.size.bytes
            if batch:
                yield batch


class _Window:
    """Room for so much; who does not fit waits, first come first served.

    Whatever is larger than the whole window fits when it is empty.
    """

    def __init__(self, most: Size) -> None:
        self._most = most
        self._waiting: deque[tuple[Size, asyncio.Future[None]]] = deque()
        self.held = Size(items=0)

    async def take(self, size: Size) -> None:
        """Return when there is room for `size`, and hold it."""
        if self._waiting or not self._fits(size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give(size)
                raise
        else:
            self._hold(size)

    def give(self, size: Size) -> None:
        """Give back what `take` was asked for."""
        self._hold(Size(-size.items, -size.bytes))
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(size):
                    break
                self._hold(size)
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, size: Size) -> bool:
        return self.held.items <= 0 or (
            self.held.items + size.items <= self._most.items
            and self.held.bytes + size.bytes <= self._most.bytes
        )

    def _hold(self, size: Size) -> None:
        self.held = Size(self.held.items + size.items, self.held.bytes + size.bytes)


def _parsed(message: pb.IngestEventsRequest) -> _Read:
    # At least one, also where there is nothing in it: it is answered all the same.
    size = Size(max(len(message.events), 1), message.ByteSize())
    try:
        return _Read(message.sequence, wire.to_append(message.events), size)
    except InvalidRequest as error:
        return _Read(message.sequence, error, size)


def _answer(sequence: int, outcome: Outcome) -> pb.IngestEventsResponse:
    if isinstance(outcome, BaseException):
        return pb.IngestEventsResponse(sequence=sequence, error=rpc.status_of(outcome, DOMAIN))
    return pb.IngestEventsResponse(sequence=sequence, response=wire.from_all_logged(outcome))
