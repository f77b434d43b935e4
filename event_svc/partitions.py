"""Has the log's partitions made ahead of time, so that no append has to stop for one."""

import asyncio
import contextlib

from event_svc.ports.log import EventStore
from svckit import logs
from svckit.errors import ServiceError, SqlError

log = logs.get(__name__)

DAYS_AHEAD = 3
HOUR = 3600.0
# After a failure; an append makes a missing partition itself, so nothing presses.
RETRY_SECONDS = 60.0


class Partitions:
    """The partitions of today and of the next days."""

    def __init__(self, events: EventStore, *, every: float = HOUR) -> None:
        self._events = events
        self._every = every
        self._worker: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Have them made now, and again every hour until `drain`; may be called again."""
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

    async def _work(self) -> None:
        pause = self._every
        while True:
            await asyncio.sleep(pause)
            try:
                await self._ensure()
                pause = self._every
            except (ServiceError, SqlError) as error:
                log.warning("could not make partitions", why=str(error))
                pause = min(RETRY_SECONDS, self._every)
