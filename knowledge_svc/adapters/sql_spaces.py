"""Spaces over the SQL functions of schema `knowledge`."""

from collections.abc import Sequence
from typing import Any

from knowledge_svc.domain.items import Space
from knowledge_svc.domain.spaces import SpaceNotFound, SpaceNotReady, SpaceState, SpaceStatus
from svckit.errors import SqlError
from svckit.sql import SqlFunctions

# Rows that one call changes.
_MOST_ROWS = 5_000
_MOST_DOCUMENTS = 500


class SqlSpaceStore:
    """The spaces in Postgres, beside the items."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def serving(self) -> str | None:
        name: str | None = await self._functions.call("serving_space")
        return name

    async def roles(self) -> dict[Space, SpaceState]:
        rows = await self._functions.call("space_roles")
        return {_space(row): row["state"] for row in rows}

    async def spaces(self) -> list[SpaceStatus]:
        return [_status(row) for row in await self._functions.call("describe_spaces")]

    async def start(self, space: Space) -> bool:
        return bool(
            await self._call(
                "start_reindex",
                space=space.name,
                model=space.model,
                dimension=space.dimension,
                chunker=space.chunker,
            )
        )

    async def switch(self, space: str) -> None:
        await self._call("switch_spaces", space=space)

    async def start_drop(self, space: str) -> bool:
        return bool(await self._call("start_drop", space=space))

    async def droppable(self) -> list[str]:
        names: list[str] = await self._functions.call("droppable_spaces")
        return names

    async def forget(self, space: str) -> None:
        while not await self._functions.call("forget_space", space=space, most=_MOST_ROWS):
            pass

    async def removals(self, space: str, *, most: int) -> list[str]:
        ids: list[str] = await self._functions.call("pending_removals", space=space, most=most)
        return ids

    async def forget_removals(self, space: str, ids: Sequence[str]) -> None:
        await self._functions.call("forget_removals", space=space, ids=[*ids])

    async def reread_documents(self, chunker: str) -> int:
        reread = 0
        while some := await self._functions.call(
            "reread_documents", chunker=chunker, most=_MOST_DOCUMENTS
        ):
            reread += some
        return reread

    async def _call(self, function: str, **arguments: Any) -> Any:
        try:
            return await self._functions.call(function, **arguments)
        except SqlError as error:
            match error.code:
                case "ZK018":
                    raise SpaceNotFound(**error.detail) from error
                case "ZK019":
                    raise SpaceNotReady(**error.detail) from error
            raise


def _status(row: dict[str, Any]) -> SpaceStatus:
    space = _space(row)
    return SpaceStatus(space, **{name: row[name] for name in row if name not in vars(space)})


def _space(row: dict[str, Any]) -> Space:
    return Space(row["name"], row["model"], row["dimension"], row["chunker"])
