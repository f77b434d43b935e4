"""Keeps the log's days: made ahead of time, closed when they are over, dropped when expired."""

import asyncio
import contextlib

from event_svc import metrics
from event_svc.ports.log import EventStore
from event_svc.ports.retention import DayStore
from event_svc.retention import Retention
from svckit import logs
from svckit.errors import ServiceError, SqlError

log = logs.get(__name__)

DAYS_AHEAD = 3
HOUR = 3600.0
# After a failure; an append makes a missing partition itself, so nothing presses.
RETRY_SECONDS = 60.0
DAYS_AT_ONCE = 4


class Partitions:
    """The days of the log; `retention_days` whole ones before today are kept, or all.

    Any number of replicas may do this at once: each step is done by one of them.
    """

    def __init__(
        self, events: EventStore, days: DayStore, *, retention_days: int | None = None,
        every: float = HOUR,
    ) -> None:  # fmt: skip
        self._events = events
        self._days = days
        self._retention = Retention(days)
        self._retention_days = retention_days
        self._every = every
        self._worker: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Have the next days made now, and all looked after every hour until `drain`.

        May be called again.
        """
        await self._ensure()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="partitions")

    async def drain(self) -> None:
        """End the hourly work."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def _ensure(self) -> None:
        made = await self._events.ensure_partitions(DAYS_AHEAD)
        if made:
            log.info("partitions made", names=made)

    async def _tidy(self) -> None:
        # First, for what is to be dropped need not be closed.
        if self._retention_days is not None:
            await self._retention.retain(self._retention_days)
        while len(await self._days.close_days(DAYS_AT_ONCE)) == DAYS_AT_ONCE:
            pass

    async def _work(self) -> None:
        while True:
            pause = self._every
            try:
                await self._ensure()
                await self._tidy()
            except (ServiceError, SqlError) as error:
                metrics.UPKEEP_FAILURES.inc()
                log.warning("could not look after the partitions", why=str(error))
                pause = min(RETRY_SECONDS, self._every)
            await asyncio.sleep(pause)
