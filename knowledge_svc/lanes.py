"""Lanes of work: each claims tasks of one kind, and none waits for another."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from knowledge_svc import metrics
from knowledge_svc.domain.items import Kind, Task
from knowledge_svc.leases import Leases
from knowledge_svc.pace import Pace, delay
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

_LONGEST_PAUSE = 5.0


class Lane:
    """Claims tasks of a kind and has them done, again and again.

    Claims grow while there is more to do. When a backend is away the lane pauses, longer each
    time, and claims half as much: if it is not an outage but one task that looks like it, the
    others get through.
    """

    def __init__(
        self,
        kind: Kind,
        leases: Leases,
        do: Callable[[Sequence[Task]], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self._kind = kind
        self._leases = leases
        self._do = do
        self._pace = pace
        self._work = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"indexer lane {self._kind}")

    def wake(self) -> None:
        """There is work: do not wait for the next poll."""
        self._work.set()

    @property
    def is_stopping(self) -> bool:
        """Whether no further batch is to be begun."""
        return self._stop.is_set()

    async def stop(self) -> None:
        """End after the batch in flight."""
        self._stop.set()
        self._work.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._pace.stop_seconds)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        outages, most = 0, self._pace.most_items
        while not self._stop.is_set():
            self._work.clear()
            tasks: Sequence[Task] = ()
            try:
                with metrics.STEP_SECONDS.labels("claim").time():
                    tasks = await self._leases.claim(self._kind, most)
                if tasks:
                    with self._leases.holding(tasks):
                        await self._do(tasks)
            except Exception as error:
                known = isinstance(error, Unavailable)
                log.warning("indexing pauses", lane=self._kind, why=str(error),
                            exc_info=None if known else error)  # fmt: skip
                metrics.FAILURES.labels("outage" if known else "unexpected").inc()
                outages += 1
                most = max(min(len(tasks), self._pace.most_items) // 2, 1) if tasks else most
                await set_within(self._stop, delay(0.25, outages, _LONGEST_PAUSE))
                continue
            is_all = self._leases.is_all(tasks, most)
            if tasks:
                # Twice as many while they come; a batch's worth when the backlog is gone.
                outages = 0
                most = min(most * 2, self._pace.most_items if is_all else self._pace.most_claimed)
            if is_all:
                await set_within(self._work, self._pace.poll_seconds)


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
