"""Drops what is older than is to be kept, in small steps that can be repeated."""

import asyncio

from event_svc import metrics
from event_svc.domain.retention import Day, Retained
from event_svc.ports.retention import DayStore
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

TRIES = 5
PAUSE_SECONDS = 0.5
# Between two days: whoever waited for the first is to get through before the next.
BREATH_SECONDS = 0.05


class Retention:
    """The keeper of the log's length; any number of them may work at once."""

    def __init__(self, days: DayStore, *, pause: float = PAUSE_SECONDS) -> None:
        self._days = days
        self._pause = pause

    async def retain(
        self, keep_days: int, *, drop_keys: bool = False, dry_run: bool = False
    ) -> Retained:
        """Drop the days before the last `keep_days` and today, one at a time.

        Raises Unavailable where somebody holds the log for too long; what was dropped until
        then stays dropped, and the same call goes on.
        """
        if dry_run:
            days = list(await self._days.expired_days(keep_days))
        else:
            days = []
            while day := await self._dropped(keep_days):
                days.append(day)
                await asyncio.sleep(min(BREATH_SECONDS, self._pause))
        forgotten = await self._forget(keep_days, dry_run=dry_run) if drop_keys else 0
        return Retained(days, forgotten)

    async def _dropped(self, keep_days: int) -> Day | None:
        """The next day that went; a reader who is in the way is waited for, between tries."""
        for remaining in reversed(range(TRIES)):
            try:
                day = await self._days.drop_expired_day(keep_days)
            except Unavailable:
                if not remaining:
                    raise
                await asyncio.sleep(self._pause)
            else:
                if day is not None:
                    metrics.DROPPED_DAYS.inc()
                    log.info("day dropped", day=day.day, events=day.events)
                return day
        raise AssertionError("unreachable")

    async def _forget(self, keep_days: int, *, dry_run: bool) -> int:
        forgotten = 0
        block: int | None = 0
        while block is not None:
            number, block = await self._days.forget_ids(keep_days, block, dry_run=dry_run)
            forgotten += number
        return forgotten
