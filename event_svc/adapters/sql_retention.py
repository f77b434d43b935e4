"""The log's days in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence

from event_svc.domain.retention import Day
from svckit.sql import SqlFunctions


class SqlDayStore:
    """The DayStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def close_days(self, most: int) -> Sequence[str]:
        days: list[str] = await self._sql.call("close_days", most=most)
        return days

    async def expired_days(self, keep_days: int) -> Sequence[Day]:
        return [
            Day(**row) for row in await self._sql.call("list_expired_days", keep_days=keep_days)
        ]

    async def drop_expired_day(self, keep_days: int) -> Day | None:
        row = await self._sql.call("drop_expired_day", keep_days=keep_days)
        return None if row is None else Day(**row)

    async def forget_ids(
        self, keep_days: int, from_block: int, *, dry_run: bool
    ) -> tuple[int, int | None]:
        part = await self._sql.call(
            "forget_ids", keep_days=keep_days, from_block=from_block, dry_run=dry_run
        )
        return part["forgotten"], part["next_block"]
