"""Counts how often memories are read, behind the answers and off their path.

Reads are counted in the process and written together, a moment later; nobody waits for it, and
no read writes. A crash loses what was counted since the last write, some seconds' worth.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from knowledge_svc import metrics
from knowledge_svc.ports.memories import MemoryStore
from svckit import ids, logs

log = logs.get(__name__)

# How long to gather between two writes, and how many memories make one at once.
PAUSE_SECONDS = 2.0
MOST_WRITTEN_AT_ONCE = 1000
# While the store is away, accesses of more memories than this are not counted.
MOST_WAITING = 20_000


class Accesses:
    """How often each memory was read since the last write, and when last."""

    def __init__(
        self,
        memories: MemoryStore,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memories = memories
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}
        # What is being written, under the name of its flush: a repeat must not count twice.
        self._batch: tuple[str, dict[str, tuple[int, float]]] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._is_draining = False

    def note(self, memory_ids: Iterable[str]) -> None:
        """Count one access of each; returns at once."""
        now = self._clock()
        for memory_id in memory_ids:
            count, _ = self._counts.get(memory_id, (0, now))
            if count or len(self._counts) < MOST_WAITING:
                self._counts[memory_id] = (count + 1, now)
            else:
                metrics.ACCESSES.labels("dropped").inc()
        if len(self._counts) >= MOST_WRITTEN_AT_ONCE:
            self._enough.set()
        if self._counts and self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="accesses")

    async def drain(self) -> None:
        """Return when everything counted so far is written, or cannot be."""
        self._is_draining = True
        self._enough.set()
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._counts or self._batch:
                if not self._is_draining:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._enough.wait(), self._pause_seconds)
                    if not self._is_draining:
                        self._enough.clear()
                if not await self._write():
                    if self._is_draining:
                        return
                    await asyncio.sleep(self._pause_seconds)
        finally:
            self._worker = None

    async def _write(self) -> bool:
        """Write a batch, that of a failure before if there is one; whether that went well."""
        if self._batch is None:
            chosen = list(self._counts)[:MOST_WRITTEN_AT_ONCE]
            self._batch = (ids.new(), {one: self._counts.pop(one) for one in chosen})
        flush_id, counts = self._batch
        now = self._clock()
        accesses = {one: (count, max(now - at, 0.0)) for one, (count, at) in counts.items()}
        try:
            await self._memories.count_accesses(accesses, flush_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, answers do not depend on it
            log.warning("could not count accesses of memories", why=str(error))
            return False
        metrics.ACCESSES.labels("written").inc(sum(count for count, _ in counts.values()))
        self._batch = None
        return True
