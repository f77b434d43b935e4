"""The days of the log, and how they go."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.retention import Day


class DayStore(Protocol):
    """The log by days, in UTC."""

    async def close_days(self, most: int) -> Sequence[str]:
        """Note what past days hold, so that readers can pass over them; answers the days.

        Each is noted once; fewer than `most` are those that there were.
        """
        ...

    async def expired_days(self, keep_days: int) -> Sequence[Day]:
        """The days that would be dropped, the oldest first."""
        ...

    async def drop_expired_day(self, keep_days: int) -> Day | None:
        """Drop the oldest day before the `keep_days` whole days before today, if any.

        Its events are gone and its positions expired at the same moment. Raises Unavailable
        where somebody reads or appends for too long; then nothing has changed.
        """
        ...

    async def forget_ids(
        self, keep_days: int, from_block: int, *, dry_run: bool
    ) -> tuple[int, int | None]:
        """Forget the ids of dropped events from before the days that are kept, in one part
        of the ids: how many there were, and where to go on, None at the end.
        """
        ...
