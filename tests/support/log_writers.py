"""Writers that know what was acknowledged, and send again what was not."""

import asyncio
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb

# What a caller sends again after: the service or its store was away, or too slow.
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
DEADLINE = 10.0
IN_STREAM = 32


@dataclass
class Journal:
    """What was sent, and what was acknowledged at which position; kept outside of the system."""

    operations: int = 0
    retries: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    moved: int = 0

    def take(self, logged: Sequence[event_pb2.LoggedEvent]) -> None:
        """Note answers; an event that is answered twice must stand where it stood."""
        for event in logged:
            if self.acknowledged.setdefault(event.event_id, event.position) != event.position:
                self.moved += 1


class Writers:
    """So many writers of each kind, each with a subject of its own, until told to stop."""

    def __init__(self, stub: Callable[[], Any], journal: Journal, seed: int = 7) -> None:
        self._stub = stub
        self._journal = journal
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self.stop = asyncio.Event()
        self.subjects: list[str] = []

    async def run(self, each: int) -> None:
        """Write by single calls, pairs, batches and streams; ends when stopped."""
        kinds = (self._single, self._pair, self._batch, self._stream)
        async with asyncio.TaskGroup() as group:
            for kind in kinds * each:
                subject = str(uuid.uuid4())
                self.subjects.append(subject)
                group.create_task(kind(subject))

    def _event(self, subject: str) -> event_pb2.NewEvent:
        event = event_pb2.NewEvent(
            event_id=str(uuid.uuid4()), event_type="message", platform="soak", person_id=subject
        )
        event.content.update({"number": next(self._numbers)})
        return event

    async def _single(self, subject: str) -> None:
        while not self.stop.is_set():
            request = pb.LogEventRequest(event=self._event(subject))
            answer = await self._tried(lambda request=request: self._stub().LogEvent(
                request, timeout=DEADLINE))  # fmt: skip
            self._journal.take([answer.event])
            await asyncio.sleep(0)

    async def _pair(self, subject: str) -> None:
        while not self.stop.is_set():
            request = pb.LogEventsRequest(events=[self._event(subject) for _ in range(2)])
            answer = await self._tried(lambda request=request: self._stub().LogEvents(
                request, timeout=DEADLINE))  # fmt: skip
            self._journal.take(answer.events)

    async def _batch(self, subject: str) -> None:
        while not self.stop.is_set():
            requests = [
                pb.LogEventsRequest(events=[self._event(subject)])
                for _ in range(self._random.randint(1, 50))
            ]
            while requests:
                batch = pb.BatchLogEventsRequest(requests=requests)
                answer = await self._tried(lambda batch=batch: self._stub().BatchLogEvents(
                    batch, timeout=DEADLINE))  # fmt: skip
                left = []
                for request, result in zip(requests, answer.results, strict=True):
                    if result.HasField("error"):
                        left.append(request)
                    else:
                        self._journal.take(result.response.events)
                self._journal.retries += len(left)
                requests = left
                if left:
                    await asyncio.sleep(0.05)

    async def _stream(self, subject: str) -> None:
        unanswered: dict[int, pb.IngestEventsRequest] = {}
        sequence = itertools.count(1)
        while not self.stop.is_set() or unanswered:
            try:
                await self._one_stream(subject, unanswered, sequence)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
                self._journal.retries += len(unanswered)
                await asyncio.sleep(0.05)

    async def _one_stream(
        self, subject: str, unanswered: dict[int, pb.IngestEventsRequest], sequence: Any
    ) -> None:
        """Send again what was not answered, then more, for a while."""
        room = asyncio.Semaphore(IN_STREAM)
        last = self._random.randint(50, 400)

        async def requests() -> AsyncIterator[pb.IngestEventsRequest]:
            again = sorted(unanswered)
            for number in again:
                yield unanswered[number]
            for _ in range(last):
                if self.stop.is_set():
                    return
                await room.acquire()
                number = next(sequence)
                events = [self._event(subject) for _ in range(self._random.randint(1, 5))]
                unanswered[number] = pb.IngestEventsRequest(sequence=number, events=events)
                self._journal.operations += 1
                yield unanswered[number]

        async for answer in self._stub().IngestEvents(requests()):
            if answer.HasField("response"):
                self._journal.take(answer.response.events)
                del unanswered[answer.sequence]
            room.release()

    async def _tried(self, call: Callable[[], Any]) -> Any:
        self._journal.operations += 1
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
            self._journal.retries += 1
            await asyncio.sleep(0.05)
