"""Searching the log in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence

from event_svc.adapters.sql_log import arguments_of, page_of
from event_svc.domain.log import EventFilter, EventPage
from svckit.sql import SqlFunctions


class SqlSearchStore:
    """The SearchStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def search(
        self, chosen: EventFilter, patterns: Sequence[str], *, before: int | None, limit: int
    ) -> EventPage:
        return page_of(
            await self._sql.call(
                "search_events",
                page_limit=limit,
                patterns=list(patterns),
                before_position=before,
                **arguments_of(chosen),
            )
        )
