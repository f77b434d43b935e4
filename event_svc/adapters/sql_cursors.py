"""Cursors in Postgres, through the SQL functions of the schema `event`."""

from event_svc.domain.cursors import CursorHeld, CursorNotFound, Lease, LeaseLost
from event_svc.domain.log import BeyondTheLog
from svckit.errors import SqlError
from svckit.sql import SqlFunctions


class SqlCursorStore:
    """The CursorStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def get(self, name: str) -> int:
        position: int | None = await self._sql.call("get_cursor", name=name)
        if position is None:
            raise CursorNotFound(name)
        return position

    async def save(self, name: str, position: int, fencing_token: int = 0) -> int:
        try:
            saved: int = await self._sql.call(
                "save_cursor", name=name, reached=position, fencing_token=fencing_token
            )
        except SqlError as error:
            match error.code:
                case "ZE003":
                    raise BeyondTheLog("position", error.detail["head_position"]) from error
                case "ZE015":
                    raise LeaseLost(name) from error
            raise
        return saved

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease:
        try:
            lease = await self._sql.call(
                "acquire_cursor", name=name, owner=owner, ttl_milliseconds=round(seconds * 1000)
            )
        except SqlError as error:
            if error.code == "ZE014":
                raise CursorHeld(name, float(error.detail["seconds_left"])) from error
            raise
        return Lease(**lease)

    async def release(self, name: str, fencing_token: int) -> bool:
        released: bool = await self._sql.call(
            "release_cursor", name=name, fencing_token=fencing_token
        )
        return released
