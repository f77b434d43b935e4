"""Counts of events in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence

from event_svc.domain.stats import MOST_COUNTS, EventCount, StatsQuery, TooManyCounts
from svckit.sql import SqlFunctions


class SqlStatsStore:
    """The StatsStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def counts(self, query: StatsQuery) -> Sequence[EventCount]:
        rows = await self._sql.call(
            "get_event_stats",
            bucket=query.bucket.value,
            counted_from=query.start.isoformat(),
            counted_to=query.end.isoformat(),
            event_types=list(query.event_types) or None,
            platforms=list(query.platforms) or None,
            by_event_type=query.by_event_type,
            by_platform=query.by_platform,
            # One more than fits, to learn whether others follow.
            most=MOST_COUNTS + 1,
        )
        if len(rows) > MOST_COUNTS:
            raise TooManyCounts
        return [EventCount(**row) for row in rows]
