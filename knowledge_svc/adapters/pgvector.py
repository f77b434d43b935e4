"""The vector index on pgvector, beside the items."""

from collections.abc import Sequence
from typing import Any

import orjson

from knowledge_svc.domain.items import Filter, IdPage, Indexed, Item, Match, Space, Vector
from knowledge_svc.ports.items import Near
from svckit.errors import SqlError, Unavailable
from svckit.sql import SqlFunctions

_NO_SUCH_TABLE = "42P01"


class PgvectorIndex:
    """A table for each space, reached through the SQL functions of schema `knowledge`."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def prepare(self, space: Space) -> None:
        await self._call("create_vectors", space=space.name, dimension=space.dimension)

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        # Not `asdict`, which would copy each number by itself.
        await self._call(
            "upsert_vectors",
            space=space,
            vectors=[{**vars(vector), "values": _text(vector.values)} for vector in vectors],
        )

    async def drop(self, space: str) -> None:
        await self._call("drop_vectors", space=space)

    async def count(self, space: str) -> int:
        vectors: int = await self._call("count_vectors", space=space)
        return vectors

    async def delete(self, space: str, ids: Sequence[str]) -> None:
        await self._call("delete_vectors", space=space, ids=[*ids])

    async def discard(self, space: str, ids: Sequence[str]) -> None:
        await self._call("discard_vectors", space=space, ids=[*ids])

    async def delete_where(self, space: str, narrow: Filter) -> None:
        await self._call("delete_vectors_where", space=space, narrow=narrow.as_json())

    async def ids(self, space: str, *, after: str | None, limit: int) -> IdPage:
        found = await self._call("vector_ids", space=space, after=after, most=limit)
        return IdPage(found, found[-1] if len(found) == limit else None)

    async def fetch(self, space: str, ids: Sequence[str]) -> list[Indexed]:
        rows = await self._call("fetch_vectors", space=space, ids=[*ids])
        return [Indexed(**row) for row in rows]

    async def nearest(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        narrow: Filter,
        ids: Sequence[str] | None = None,
    ) -> list[Match]:
        rows = await self._call(
            "nearest_vectors",
            space=space,
            query=_text(query),
            most=limit,
            narrow=narrow.as_json(),
            ids=None if ids is None else [*ids],
        )
        return [Match(*row) for row in rows]

    async def nearest_items(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        limit_of_many: int,
        chosen: Filter,
        with_items: bool,
        ids: Sequence[str] | None = None,
    ) -> Near:
        found = await self._call(
            "nearest_items",
            space=space,
            query=_text(query),
            most=limit,
            most_of_many=limit_of_many,
            narrow=chosen.narrowing.as_json(),
            filter=chosen.as_json() if with_items else None,
            ids=None if ids is None else [*ids],
        )
        if "matches" not in found:
            return Near(found["serving"])
        matches = [Match(*row) for row in found["matches"]]
        items = [Item(**row) for row in found["items"]] if with_items else None
        return Near(found["serving"], matches, items)

    async def _call(self, function: str, **arguments: Any) -> Any:
        try:
            return await self._functions.call(function, **arguments)
        except SqlError as error:
            if error.code == _NO_SUCH_TABLE:
                raise Unavailable("the vectors' space is not there yet") from error
            raise


def _text(values: Sequence[float]) -> str:
    """Numbers as pgvector reads them: one text, which JSON need not take apart."""
    return orjson.dumps([*values]).decode()
