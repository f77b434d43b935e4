"""Coalesces concurrent calls: batches under load, and never waits for one to fill.

While one batch is in flight, arrivals queue, and the next batch takes them all, up to a
bound, and those who come in the next turns of the loop. An idle system therefore adds no
latency; a loaded one pays one round trip and one commit for many calls.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from svckit import errors, metrics

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# Under load a batch goes when turns of the loop have brought nobody for so long, or after so
# long at the latest.
QUIET_SECONDS = 0.001
MOST_GATHERING_SECONDS = 0.005

MOST_ITEMS = 1000
MOST_BYTES = 2 << 20


@dataclass(frozen=True)
class Size:
    """How much of a batch a request takes."""

    items: int = 1
    bytes: int = 0


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Request, Answer]):
    request: Request
    size: Size
    keys: frozenset[Hashable]
    answer: asyncio.Future[Answer]


class Batcher(Generic[Request, Answer]):
    """Turns many concurrent `submit`s into few calls of `call`.

    `call` takes independent requests and gives one answer or one exception for each, in
    order. Where it raises because of the data of some request (`errors.is_about_data`),
    the batch is halved and tried again until the culprit stands alone; any other
    exception is everybody's. Requests that share a key never stand in one batch.
    A caller that gives up (deadline, cancellation) before its batch starts is left out.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[Request]], Awaitable[Sequence[Answer | BaseException]]],
        *,
        measure: Callable[[Request], Size] = lambda _: Size(),
        keys: Callable[[Request], Iterable[Hashable]] = lambda _: (),
        most_items: int = MOST_ITEMS,
        most_bytes: int = MOST_BYTES,
        most_waiting: int = 20_000,
    ) -> None:
        self._name = name
        self._call = call
        self._measure = measure
        self._keys = keys
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._most_waiting = most_waiting
        self._queue: deque[_Waiting[Request, Answer]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._sizes = metrics.BATCH_ITEMS.labels(name)
        metrics.BATCH_WAITING.labels(name).set_function(lambda: len(self._queue))

    async def submit(self, request: Request) -> Answer:
        """The answer to one request; raises what it failed with."""
        return await self._enqueue(request)

    async def submit_all(self, requests: Iterable[Request]) -> list[Answer | BaseException]:
        """The answers to several requests, queued in order; failures stand in their places."""
        waiting: list[Awaitable[Answer]] = []
        for request in requests:
            try:
                waiting.append(self._enqueue(request))
            except errors.ResourceExhausted as full:
                refused: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                refused.set_exception(full)
                waiting.append(refused)
        return await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Return when everything that was submitted has been answered."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    def _enqueue(self, request: Request) -> asyncio.Future[Answer]:
        if len(self._queue) >= self._most_waiting:
            raise errors.ResourceExhausted(f"too many calls are waiting for {self._name}")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(
            _Waiting(request, self._measure(request), frozenset(self._keys(request)), future)
        )
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"batcher {self._name}")
        return future

    async def _work(self) -> None:
        try:
            # Let everybody who is ready in this turn of the loop get in.
            await asyncio.sleep(0)
            while batch := self._take():
                self._sizes.observe(sum(waiting.size.items for waiting in batch))
                await self._run(batch)
                if self._queue or len(batch) > 1:
                    await self._gather(len(batch) + len(self._queue))
        finally:
            self._worker = None

    async def _gather(self, expected: int) -> None:
        """Let those in whose requests are here, but not read yet.

        Under load the answers just given bring the next requests. Taking only the quickest of
        them would make many small batches, each of which costs as much as many items. There is
        no timer in it: either the loop has other work to do, or this returns.
        """
        waiting = len(self._queue)
        quiet_since = now = time.perf_counter()
        until = now + MOST_GATHERING_SECONDS
        while now < min(until, quiet_since + QUIET_SECONDS) and len(self._queue) < expected:
            await asyncio.sleep(0)
            now = time.perf_counter()
            if len(self._queue) != waiting:
                waiting, quiet_since = len(self._queue), now

    def _take(self) -> list[_Waiting[Request, Answer]]:
        batch: list[_Waiting[Request, Answer]] = []
        later: list[_Waiting[Request, Answer]] = []
        taken: set[Hashable] = set()
        items = size = 0
        while self._queue:
            waiting = self._queue[0]
            if waiting.answer.done():
                self._queue.popleft()
                continue
            items += waiting.size.items
            size += waiting.size.bytes
            if batch and (items > self._most_items or size > self._most_bytes):
                break
            self._queue.popleft()
            # Once a key is taken, its later requests keep their order behind it.
            if waiting.keys and not taken.isdisjoint(waiting.keys):
                later.append(waiting)
                items -= waiting.size.items
                size -= waiting.size.bytes
            else:
                batch.append(waiting)
            taken |= waiting.keys
        self._queue.extendleft(reversed(later))
        return batch

    async def _run(self, batch: list[_Waiting[Request, Answer]]) -> None:
        try:
            outcomes = await self._call([waiting.request for waiting in batch])
            if len(outcomes) != len(batch):
                raise RuntimeError(
                    f"{self._name}: {len(outcomes)} answers to {len(batch)} requests"
                )
        except asyncio.CancelledError:
            # Nobody else would tell them. Where it was only what was asked, others have their turn.
            _answer(batch, [errors.Unavailable("the batch was given up")] * len(batch))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers are to get it
            if len(batch) > 1 and errors.is_about_data(error):
                middle = len(batch) // 2
                await self._run(batch[:middle])
                await self._run(batch[middle:])
                return
            outcomes = [error] * len(batch)
        _answer(batch, outcomes)


def _answer(
    batch: Sequence[_Waiting[Request, Answer]], outcomes: Sequence[Answer | BaseException]
) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.answer.done():
            continue
        if isinstance(outcome, BaseException):
            waiting.answer.set_exception(outcome)
        else:
            waiting.answer.set_result(outcome)
