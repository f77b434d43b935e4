"""Consumers of the log that are cut and go on, and a judge of what they were given."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import grpc

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from tests.support.events import Stub

EVENTS = pb.SUBSCRIPTION_MARK_EVENTS
CAUGHT_UP = pb.SUBSCRIPTION_MARK_CAUGHT_UP
HEARTBEAT = pb.SUBSCRIPTION_MARK_HEARTBEAT


class Receipt(NamedTuple):
    """An event that was logged, or delivered."""

    position: int
    event_id: str


@dataclass(frozen=True)
class Score:
    """What came of a delivery, in events. `skipped` are those of the lost that a later event
    overtook; `invented` were delivered and are not in the log.
    """

    committed: int
    delivered: int
    lost: int
    skipped: int
    duplicated: int
    out_of_order: int
    invented: int

    @property
    def is_perfect(self) -> bool:
        """Every event, once, in order, and nothing else."""
        return self.delivered == self.committed and not any(
            (self.lost, self.skipped, self.duplicated, self.out_of_order, self.invented)
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


def judge(received: Sequence[Receipt], log: Sequence[Receipt]) -> Score:
    """Compare what a subscriber was given with what the log holds for it."""
    given, there = set(received), set(log)
    missing = there - given
    furthest = max((receipt.position for receipt in received), default=0)
    return Score(
        committed=len(log),
        delivered=len(received),
        lost=len(missing),
        skipped=sum(receipt.position < furthest for receipt in missing),
        duplicated=len(received) - len(given),
        out_of_order=sum(
            later.position < earlier.position for earlier, later in pairwise(received)
        ),
        invented=len(given - there),
    )


async def the_log(connection: Any, where: str = "true") -> list[Receipt]:
    """What the log holds, past every function of the service."""
    rows = await connection.fetch(
        f"SELECT position, event_id::text FROM event.event_log WHERE {where} ORDER BY position"
    )
    return [Receipt(row["position"], row["event_id"]) for row in rows]


class Subscriber:
    """A consumer that remembers how far it has come, and goes on there after every cut.

    `service` says whom to ask this time: another replica after a cut, if there are several.
    """

    def __init__(
        self, service: Callable[[], Stub], chosen: event_pb2.EventFilter | None = None,
        *, after: int = 0, pace: float = 0.0,
    ) -> None:  # fmt: skip
        self._service = service
        self._chosen = chosen
        self._pace = pace
        self._call: Any = None
        self._moved = asyncio.Event()
        self.position = after
        self.received: list[Receipt] = []
        self.marks: list[int] = []
        self.cuts = 0

    async def run(self) -> None:
        """Follow the log until cancelled; what is not a cut is raised."""
        try:
            while True:
                try:
                    await self._follow()
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                except asyncio.CancelledError:
                    # Ours, unless it is the call that was cancelled.
                    if (task := asyncio.current_task()) and task.cancelling():
                        raise
                self.cuts += 1
                await asyncio.sleep(0.02)
        finally:
            self.cut()

    def cut(self) -> None:
        """End the call, wherever it is; it goes on with another."""
        if self._call is not None:
            self._call.cancel()

    async def reached(self, position: int) -> None:
        """Return once everything up to a position has been looked at."""
        while self.position < position:
            self._moved.clear()
            await self._moved.wait()

    async def _follow(self) -> None:
        request = pb.SubscribeEventsRequest(filter=self._chosen, after_position=self.position)
        self._call = self._service().SubscribeEvents(request)
        async for answer in self._call:
            self.received += [Receipt(event.position, event.event_id) for event in answer.events]
            self.marks.append(answer.mark)
            self.position = answer.position
            self._moved.set()
            if self._pace:
                await asyncio.sleep(self._pace)


class Following:
    """Subscribers at work while the block runs; what one of them raises, the block raises."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Following":
        self._tasks = [asyncio.create_task(one.run()) for one in self._subscribers]
        return self

    async def reached(self, position: int, seconds: float = 20) -> None:
        """Return once everybody has looked at everything up to a position."""
        waiting = asyncio.gather(*(one.reached(position) for one in self._subscribers))
        async with asyncio.timeout(seconds):
            await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    waiting.cancel()
                    task.result()
            await waiting

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task


class Stream:
    """One call of SubscribeEvents, read answer by answer."""

    def __init__(self, events: Stub, **request: Any) -> None:
        self.call: Any = events.SubscribeEvents(pb.SubscribeEventsRequest(**request))

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()

    async def next(self) -> pb.SubscribeEventsResponse:
        """The next answer; raises what ended the stream."""
        async with asyncio.timeout(10):
            answer = await self.call.read()
            if answer is grpc.aio.EOF:
                await self.call
                raise AssertionError("a subscription ended by itself")
            assert isinstance(answer, pb.SubscribeEventsResponse)
            return answer

    async def until_caught_up(self) -> list[int]:
        """The positions of the events before the mark."""
        positions: list[int] = []
        while (answer := await self.next()).mark != CAUGHT_UP:
            positions += [event.position for event in answer.events]
        return positions

    async def events(self, count: int) -> list[int]:
        """The positions of the next so many events; other answers are passed over."""
        positions: list[int] = []
        while len(positions) < count:
            positions += [event.position for event in (await self.next()).events]
        return positions
