"""Counts of what was logged."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.stats import EventCount, StatsQuery


class StatsStore(Protocol):
    """Counts that are kept up with every append; what was counted stays."""

    async def counts(self, query: StatsQuery) -> Sequence[EventCount]:
        """The counts that are not 0, by start, then type, then platform.

        Raises TooManyCounts.
        """
        ...
