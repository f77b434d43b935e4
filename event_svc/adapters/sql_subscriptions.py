"""The log as subscriptions read it in Postgres, through the functions of the schema `event`."""

from event_svc.domain.log import BeyondTheLog, Event, EventFilter
from event_svc.domain.subscriptions import LogBounds, PositionExpired, Stretch
from svckit.sql import SqlFunctions

# What one look covers where no index serves the filter.
MOST_POSITIONS = 50_000
_LARGEST = 2**63 - 1


class SqlLogHistory:
    """The LogHistory over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def bounds(self) -> LogBounds:
        return LogBounds(**await self._sql.call("log_bounds"))

    async def read(self, chosen: EventFilter, *, after: int, limit: int) -> Stretch:
        is_indexed = bool(chosen.subject_ids or chosen.group_id or chosen.session_id)
        # What is looked at ends at a position, too.
        most_positions = min(MOST_POSITIONS, _LARGEST - 1 - after)
        page = await self._sql.call(
            "read_log",
            page_limit=limit,
            after_position=after,
            most_positions=None if is_indexed else most_positions,
            # An id given twice would be read twice.
            subject_ids=list(dict.fromkeys(chosen.subject_ids)) or None,
            group_id=chosen.group_id,
            session_id=chosen.session_id,
            event_types=list(chosen.event_types) or None,
            platforms=list(chosen.platforms) or None,
            occurred_from=chosen.occurred_from,
            occurred_to=chosen.occurred_to,
        )
        if page["expired_position"] > after:
            raise PositionExpired(after, page["expired_position"])
        if page["scanned_position"] < after:
            raise BeyondTheLog("after_position", page["scanned_position"])
        return Stretch(
            [Event(**row) for row in page["events"]], page["scanned_position"], page["at_end"]
        )
