"""Counts older events into new projections, behind everybody's back."""

import asyncio
import contextlib
import time

from event_svc import metrics
from event_svc.ports.projections import ProjectionStore
from svckit import logs
from svckit.errors import ServiceError, SqlError

log = logs.get(__name__)

# After a crash, or for a projection that another replica defined and left behind.
IDLE_SECONDS = 10.0
RETRY_SECONDS = 1.0

LEAST_POSITIONS, FIRST_POSITIONS, MOST_POSITIONS = 50, 2_000, 20_000
# Redactions and erasures wait for a step, appends for the values that it shares with them.
STEP_SECONDS = 0.2


class Backfill:
    """Takes step after step while there is something to count.

    Every replica has one; the store lets one step be taken at a time, wherever the one
    before was taken.
    """

    def __init__(self, store: ProjectionStore, *, idle: float = IDLE_SECONDS) -> None:
        self._store = store
        self._idle = idle
        self._positions = FIRST_POSITIONS
        self._woken = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, until `drain`; may be called again."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="backfill")

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def drain(self) -> None:
        """End the work; a step that is cut off has not happened."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._step():
                    pass
                pause = self._idle
            except (ServiceError, SqlError) as error:
                log.warning("could not count older events", why=str(error))
                metrics.BACKFILL_FAILURES.inc()
                self._positions = max(self._positions // 4, LEAST_POSITIONS)
                pause = min(RETRY_SECONDS, self._idle)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)

    async def _step(self) -> bool:
        started = time.perf_counter()
        step = await self._store.backfill(self._positions)
        metrics.BACKFILL_REMAINING.set(step.remaining)
        self._adapt(time.perf_counter() - started)
        return step.more

    def _adapt(self, seconds: float) -> None:
        """Events differ in size by a factor of a thousand, so the time decides."""
        if seconds > 2 * STEP_SECONDS:
            self._positions = max(self._positions // 2, LEAST_POSITIONS)
        elif seconds < STEP_SECONDS / 2:
            self._positions = min(self._positions * 2, MOST_POSITIONS)
